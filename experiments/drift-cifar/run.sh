#!/usr/bin/env bash
# Does OPTWIN find TensAIR's five label swaps in CIFAR-10, and how do the other detectors fare?
#   experiments/drift-cifar/run.sh [--quick] [options of experiments/drift/compare]
# Without the head of CIFAR-10 in $TENSAIR_DATA: SKIPPED, exit status 77.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_compare drift-cifar cifar10_again -n 2 --seeds 2 --title "CIFAR-10, five label swaps" \
    --detectors never,train,always,optwin:.1,optwin:.5,adwin,ddm,eddm,stepd,ecdd "$@"
