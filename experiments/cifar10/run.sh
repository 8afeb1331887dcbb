#!/usr/bin/env bash
# How fast does the CIFAR-10 CNN of the TensAIR paper learn from a stream?
#   experiments/cifar10/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_experiment cifar10 2 "$@"
