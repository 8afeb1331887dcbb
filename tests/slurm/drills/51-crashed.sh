#!/usr/bin/env bash
# A node loses its power: the others name its ranks within three seconds, long before Slurm knows, and go on.
. "$CLUSTER_TESTS/drill.sh"
job=$(sbatch --parsable --ntasks-per-node=2 "$(batch crashed "${FOREVER[@]}" "${QUICK[@]}")")
look crashed training 8
from=$(clock)
node n4 crash
look crashed lost 3 "$from" "$(clock)" 6,7 0,1,2,3,4,5
stop_run "$job"
ends "$job" FAILED "$LOST"
look crashed agree 1 0 1 2 3 4 5
cleared crashed
