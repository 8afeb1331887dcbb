# `tensair submit --spares`: a rank that is killed is replaced from the reserve by the batch script itself.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
job=$("$TENSAIR" submit run.yaml --nodes 2 --spares 1 --time 5 --run-dir spares --set run.max_records=96000 "${QUICK[@]}" |
    sed -n 's/^job  *\([0-9]*\).*/\1/p')
until_true 30 is_field "$job" NumNodes 3
windows() { [ "$(cat spares/metrics.jsonl 2>/dev/null | grep -c '"kind":"window"')" -ge "$1" ]; }
until_true 40 windows 6
pids=$(node n2 tasks)
[ -n "$pids" ]
kill -9 $pids
joins() { "$TENSAIR" report spares --json | grep -A 1 '"joined_ranks": \[' | grep 2 >/dev/null; }
until_true 40 joins
ends "$job" FAILED 69
"$TENSAIR" report spares
"$TENSAIR" report spares | grep 'lost 1 (ranks 1), joined 1 (ranks 2)' >/dev/null
grep 'spare replica 0 joins from n3' spares/run-*.out
