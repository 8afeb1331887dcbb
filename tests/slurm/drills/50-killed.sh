#!/usr/bin/env bash
# A task is killed: the others name its rank within three seconds and go on; the exit status tells of it.
. "$CLUSTER_TESTS/drill.sh"
job=$(queue killed --nodes=4 -- "${FOREVER[@]}" "${QUICK[@]}")
look killed training 4
from=$(clock)
# shellcheck disable=SC2046
kill -KILL $(node n3 tasks SLURM_PROCID=2)
look killed lost 3 "$from" "$(clock)" 2 0,1,3
stop_run "$job"
ends "$job" FAILED 69
look killed agree 1 0 1 3
cleared killed
