#!/usr/bin/env bash
# A job of a better partition takes the nodes: the run leaves a checkpoint, waits in the queue, and goes on from there. The script
# is the one that `tensair submit` writes, and nothing helps it.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
job=$("$TENSAIR" submit run.yaml --nodes 4 --time 5 --run-dir low | sed -n 's/^job  *\([0-9]*\).*/\1/p')
look low training 4
urgent=$(sbatch --parsable -p urgent -N 4 -n 4 --exclusive --output=urgent.out --wrap 'sleep 1')
ends "$urgent" COMPLETED
look low agree 1 0 1 2 3
ends "$job" COMPLETED
[ "$(field "$job" Restarts)" = 1 ]
look low agree 2 0 1 2 3
look low trained 2 32000
cleared low
