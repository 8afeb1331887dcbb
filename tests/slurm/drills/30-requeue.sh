#!/usr/bin/env bash
# USR1, as ahead of a time limit: one checkpoint, exit status 75, requeued; the next life goes on at the exact position.
# What is trained is trained once.
. "$CLUSTER_TESTS/drill.sh"
job=$(sbatch --parsable "$(batch again)")
look again training 4
scancel --batch --signal=USR1 "$job"
until_true 30 is_field "$job" Restarts 1
look again agree 1 0 1 2 3
[ "$(ls "$WORK"/again/checkpoint | wc -l)" = 1 ]
look again training 4 2
ends "$job" COMPLETED
look again agree 2 0 1 2 3
look again trained 2 32000
cleared again
