#!/usr/bin/env bash
# How many words a second can skip-gram learn from for ever, by replicas and batch size, and how soon does each sentence
# show in all replicas?
#   experiments/sustain-word2vec/run.sh [options of tensair bench sustain]
# Ends within five minutes; sustain-word2vec.json and sustain-word2vec.png are left in runs/.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_setup
stream=$(ta_stream_word2vec)
mkdir -p runs
"$tensair" bench sustain experiments/sustain-word2vec/sustain-word2vec.yaml -n 1,2 --batch 8,32 --seeds 1 --within 280 \
    --set stream.file="$PWD/$stream" --json runs/sustain-word2vec.json --plot runs/sustain-word2vec.png "$@"
