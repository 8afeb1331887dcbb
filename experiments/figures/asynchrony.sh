#!/usr/bin/env bash
# FIGURES: straggler_live straggler_sync
#
# What it costs not to wait, and to wait: records per second of the CIFAR-10 CNN, a replica a core, as fast as they can.
#   straggler_live  live, one of two at a tenth of the speed, as a share of what the other makes alone
#   straggler_sync  sync with the same straggler, as a share of sync without: all go at a tenth of the speed
# The slow one sleeps, so that its core is free, as another machine's would be. All in turns, medians of ROUNDS (5),
# SECONDS_EACH (8) of training each.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

cores=($(/usr/bin/python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2])'))
if [ ${#cores[@]} -lt 2 ]; then
    echo "asynchrony: SKIPPED: two cores are needed, there is ${#cores[@]}" >&2
    exit 77
fi
stream=$(ta_stream_cifar10_shape)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
slow='run.slow=[{rank: 1, factor: 10}]'

measure() { # REPLICAS, CORES, EXCHANGE [option of --set]
    local options=() folder_of=$folder/run
    [ $# -lt 4 ] || options=(--set "$4")
    rm -rf "$folder_of"
    taskset -c "$2" "$tensair" train experiments/cifar10/cifar10.yaml -n "$1" --quiet --run-dir "$folder_of" \
        --set stream.file="$PWD/$stream" --set exchange.type="$3" --set exchange.dead_after=30 --set run.epochs=-1 \
        --set run.max_seconds="${SECONDS_EACH:-8}" --set checkpoint.off=true "${options[@]}" \
        >/dev/null
    ta_summary records_per_s "$folder_of"
}

both=${cores[0]},${cores[1]}
for i in $(seq "${ROUNDS:-5}"); do
    one=$(measure 1 "${cores[0]}" live)
    live_slow=$(measure 2 "$both" live "$slow")
    even=$(measure 2 "$both" sync)
    sync_slow=$(measure 2 "$both" sync "$slow")
    echo "asynchrony: one $one, two with a straggler $live_slow records/s; sync $even, with a straggler $sync_slow" >&2
    echo "$one $live_slow $even $sync_slow" >>"$folder/rounds"
done
ratio() { # COLUMN, BY COLUMN
    awk -v a="$1" -v b="$2" '{print $a / $b}' "$folder/rounds" | ta_median
}
printf 'FIGURE straggler_live %.3f ratio asked >= 0.95\n' "$(ratio 2 1)"
printf 'FIGURE straggler_sync %.3f ratio asked <= 0.15\n' "$(ratio 4 3)"
