#!/usr/bin/env bash
# Two more clusters at once, beside the one this runs in: each trains its own, and both are gone afterwards.
. "$CLUSTER_TESTS/drill.sh"
inside() {
    . "$CLUSTER_TESTS/drill.sh"
    echo "$CLUSTER" >&3
    ends "$(sbatch --parsable "$(batch one)")" COMPLETED
    look one agree 1 0 1 2 3
    look one trained 1 32000
}
export -f inside
first=$CLUSTER
for one in a b; do
    "$CLUSTER_TESTS/enter" bash -euo pipefail -c inside 3>"$WORK/where-$one" >"$WORK/$one.out" 2>&1 &
done
wait -n
wait -n
[ "$(cat "$WORK"/where-?)" != "$first" ] && [ "$(sort -u "$WORK"/where-? | wc -l)" = 2 ]
for one in a b; do
    [ ! -e "$(cat "$WORK/where-$one")" ]
    ! pgrep -f "$(cat "$WORK/where-$one")"
done
scontrol ping # this one lives
