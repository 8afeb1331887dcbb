#!/usr/bin/env bash
# How well does a small network follow the Electricity market, whose drift nobody knows, with which detector?
#   experiments/electricity/run.sh [--quick] [options of experiments/drift/compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_compare electricity electricity --title "Electricity" "$@"
