#!/usr/bin/env bash
# How well does a small network follow the Electricity market, with its real drift?
#   experiments/electricity/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=../common.sh
. experiments/common.sh
replicas=${1:-1}
[ $# -gt 0 ] && shift
ta_setup
stream=$(ta_stream_electricity)
ta_experiment electricity "$stream" -n "$replicas" "$@"
