#!/usr/bin/env bash
# What do the abrupt changes of concept in SEA do to a network that learns all the time?
#   experiments/sea/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_experiment sea 1 "$@"
