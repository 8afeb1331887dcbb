#!/usr/bin/env bash
# How well does a small network follow the Electricity market, with its real drift?
#   experiments/electricity/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_experiment electricity 1 "$@"
