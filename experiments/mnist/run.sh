#!/usr/bin/env bash
# Does a replicated CNN learn MNIST in one pass, each record seen once, as well as a single one?
#   experiments/mnist/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=../common.sh
. experiments/common.sh
replicas=${1:-2}
[ $# -gt 0 ] && shift
ta_setup
stream=$(ta_stream_mnist)
ta_experiment mnist "$stream" -n "$replicas" "$@"
