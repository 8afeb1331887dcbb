#!/usr/bin/env bash
# How fast does the CIFAR-10 CNN of the TensAIR paper learn from a stream?
#   experiments/cifar10/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=../common.sh
. experiments/common.sh
replicas=${1:-2}
[ $# -gt 0 ] && shift
ta_setup
stream=$(ta_stream_cifar10)
ta_experiment cifar10 "$stream" -n "$replicas" "$@"
