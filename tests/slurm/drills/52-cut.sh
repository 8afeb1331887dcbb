#!/usr/bin/env bash
# The cable of a node is cut: both sides name each other within three seconds. When it is back, nobody takes up again
# with whom it has given up, and the majority's run ends as one.
. "$CLUSTER_TESTS/drill.sh"
[ "$CLUSTER_MODE" = namespaces ] || { echo "SKIPPED: plain nodes have no cable to cut" && exit 77; }
job=$(sbatch --parsable "$(batch cut "${FOREVER[@]}" "${QUICK[@]}")")
look cut training 4
from=$(clock)
node n4 cut
look cut lost 3 "$from" "$(clock)" 3 0,1,2
look cut lost 3 "$from" "$(clock)" 0,1,2 3
node n4 mend
sleep 1
stop_run "$job"
ends "$job" FAILED "$LOST"
look cut agree 1 0 1 2
cleared cut
