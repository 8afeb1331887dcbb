# `tensair submit`: the script it writes runs, is stopped ahead of its end, requeued, goes on, and is stopped for good.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
mkdir "it's a run"
job_of() { sed -n 's/^job  *\([0-9]*\).*/\1/p'; }

# A path that shells trip over, two tasks on each of two nodes, to the end.
said=$("$TENSAIR" submit run.yaml --nodes 2 --tasks-per-node 2 --time 5 --run-dir "it's a run" --set run.seed=3)
echo "$said"
job=$(job_of <<<"$said")
timeout 60 "$TENSAIR" watch "it's a run" --give-up 50
ends "$job" COMPLETED
"$TENSAIR" report "it's a run"
[ "$("$TENSAIR" report "it's a run" --exit-code)" = 0 ]
"$TENSAIR" report "it's a run" --json | grep '"replicas": 4' >/dev/null
grep -q "ended with 0" "it's a run/run-$job.out"

# What sbatch refuses is said in its words, with 2.
status=0
refusal=$("$TENSAIR" submit run.yaml --partition nowhere --run-dir refused 2>&1) || status=$?
echo "$refusal"
[ "$status" = 2 ]
grep -qi 'invalid partition' <<<"$refusal"

# Asked by USR1, as Slurm does ahead of the time limit: a checkpoint, the next life, and it goes on.
job=$("$TENSAIR" submit run.yaml --nodes 2 --time 5 --run-dir life "${FOREVER[@]}" | job_of)
windows() { [ "$(cat life/metrics.jsonl 2>/dev/null | grep -c '"kind":"window"')" -ge "$1" ]; }
until_true 30 windows 4
scancel --batch --signal=USR1 "$job"
second() { grep -q '"epoch":2.*"event":"start"' life/metrics.jsonl; }
until_true 60 second
is_field "$job" Restarts 1
# Cancelled so that it may still write: the last life, with 75.
sleep 1
scancel --batch --signal=TERM "$job"
ends "$job" FAILED 75
[ "$("$TENSAIR" report life --exit-code)" = 75 ]
"$TENSAIR" report life --json | grep '"lives": 2' >/dev/null
"$TENSAIR" report life "it's a run"
