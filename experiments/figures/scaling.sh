#!/usr/bin/env bash
# FIGURES: two_replicas_vs_one
#
# Records per second of the CIFAR-10 CNN: two replicas, a core each, against one on one core; exchange included, as fast as
# they can. Both in turns, medians of PAIRS (5), SECONDS_EACH (8) of training each.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

cores=($(/usr/bin/python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2])'))
if [ ${#cores[@]} -lt 2 ]; then
    echo "scaling: SKIPPED: two cores are needed, there is ${#cores[@]}" >&2
    exit 77
fi
stream=$(ta_stream_cifar10_shape)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

measure() { # replicas, cores
    rm -rf "$folder/run"
    taskset -c "$2" "$tensair" train experiments/cifar10/cifar10.yaml -n "$1" --quiet --run-dir "$folder/run" \
        --set stream.file="$PWD/$stream" --set run.epochs=-1 --set run.max_seconds="${SECONDS_EACH:-8}" >/dev/null
    ta_summary records_per_s "$folder/run"
}

for i in $(seq "${PAIRS:-5}"); do
    one=$(measure 1 "${cores[0]}")
    two=$(measure 2 "${cores[0]},${cores[1]}")
    echo "scaling: one replica $one records/s, two replicas $two records/s" >&2
    echo "$one $two" >>"$folder/pairs"
done
awk '{print $2 / $1}' "$folder/pairs" | ta_median | xargs printf 'FIGURE two_replicas_vs_one %.3f ratio asked >= 1.9\n'
