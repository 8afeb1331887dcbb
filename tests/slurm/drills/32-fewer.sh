#!/usr/bin/env bash
# The next life gets two nodes instead of four: it goes on with half the replicas, and what is trained is trained once.
. "$CLUSTER_TESTS/drill.sh"
job=$(sbatch --parsable "$(batch fewer)")
look fewer training 4
scancel --batch --signal=USR1 "$job"
until_true 30 is_field "$job" JobState PENDING
scontrol update jobid="$job" numnodes=2 numtasks=2
look fewer agree 1 0 1 2 3
ends "$job" COMPLETED
is_field "$job" NumNodes 2
is_field "$job" Restarts 1
look fewer agree 2 0 1
look fewer trained 2 32000
cleared fewer
