#!/usr/bin/env bash
# What do the abrupt changes of concept in SEA do to a network that learns all the time?
#   experiments/sea/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=../common.sh
. experiments/common.sh
replicas=${1:-1}
[ $# -gt 0 ] && shift
ta_setup
stream=$(ta_stream_sea)
ta_experiment sea "$stream" -n "$replicas" "$@"
