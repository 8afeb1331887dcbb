#!/usr/bin/env bash
# Which drift detector follows Agrawal's functions when they change at once, and when they change slowly?
#   experiments/agrawal/run.sh [--quick] [options of experiments/drift/compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
stamp=$(date -u +%Y%m%dT%H%M%SZ)
ta_compare agrawal - --vary stream.seed --title "Agrawal, sudden" --out "runs/agrawal-sudden-$stamp" "$@"
slow=() changes="abrupt@0:5"
for i in 0 1 2 3; do
    at=$((20000 * (i + 1) - 500))
    changes+=",gradual@$at+1000:$((4 - i))"
    slow+=(--set "stream.inject_drift[$i].at=$at" --set "stream.inject_drift[$i].width=1000")
done
ta_compare agrawal - --vary stream.seed --title "Agrawal, gradual" --out "runs/agrawal-gradual-$stamp" "$@" -- \
    --set stream.drift="$changes" "${slow[@]}"
