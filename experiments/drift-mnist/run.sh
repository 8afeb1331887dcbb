#!/usr/bin/env bash
# Which drift detector finds five label swaps in MNIST, and what does training only when needed cost four replicas?
#   experiments/drift-mnist/run.sh [--quick] [options of experiments/drift/compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_compare drift-mnist mnist -n 4 --seeds 3 --title "MNIST, five label swaps" \
    --detectors never,train,always,optwin,adwin,ddm,eddm,pagehinkley,kswin,stepd,ecdd,hddm_a "$@"
