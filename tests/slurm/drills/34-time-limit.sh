#!/usr/bin/env bash
# The time limit itself: Slurm sends USR1 ahead of it, nobody else does. One checkpoint, requeued, and the next life goes on.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
job=$(queue limit --nodes=2 --time=1 --signal=B:USR1@50 -- "${FOREVER[@]}")
look limit training 2
until_true 60 is_field "$job" Restarts 1
grep "asked to stop (USR1)" limit.out
look limit agree 1 0 1
look limit training 2 2
scancel --batch --signal=TERM "$job"
ends "$job" FAILED 75
"$TENSAIR" report limit --json | grep '"lives": 2' >/dev/null
cleared limit
