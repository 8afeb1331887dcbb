#!/usr/bin/env bash
# How many pictures a second can the CIFAR-10 CNN of the TensAIR paper learn from for ever, by replicas and batch size,
# and how soon does each show in all replicas?
#   experiments/sustain-cifar/run.sh [options of tensair bench sustain]
# Ends within five minutes; sustain-cifar.json and sustain-cifar.png are left in runs/.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_setup
stream=$(ta_stream_cifar10)
mkdir -p runs
"$tensair" bench sustain experiments/sustain-cifar/sustain-cifar.yaml -n 1,2 --batch 32,128 --seeds 1 --within 280 \
    --set stream.file="$PWD/$stream" --json runs/sustain-cifar.json --plot runs/sustain-cifar.png "$@"
