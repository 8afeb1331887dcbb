#!/usr/bin/env bash
# A node is set down by hand: Slurm kills its tasks; the others name its rank within three seconds and go on.
. "$CLUSTER_TESTS/drill.sh"
job=$(sbatch --parsable "$(batch down "${FOREVER[@]}" "${QUICK[@]}")")
look down training 4
from=$(clock)
scontrol update nodename=n2 state=down reason=drill
look down lost 3 "$from" "$(clock)" 1 0,2,3
stop_run "$job"
ends "$job" FAILED "$LOST"
look down agree 1 0 2 3
cleared down
