# The scripts that people start themselves: a sweep as an array, over values and over nodes; nodes of one's own.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
export TENSAIR TENSAIR_SBATCH=$SOURCE/slurm/train.sbatch
SHORT=run.max_records=8000
sed -i "s/max_records: 32000/max_records: 8000/" run.yaml

array=$(sbatch --parsable --nodes=2 --array=0-3%2 "$SOURCE/slurm/scale.sbatch" run.yaml optimizer.rate=0.01,0.02 nodes=1,2)
for _ in $(seq 600); do [ -z "$(squeue -h -j "$array" 2>/dev/null)" ] && break; sleep 0.1; done
"$TENSAIR" report runs/run-"$array"/task-*
for task in 0:0.01:1 1:0.02:1 2:0.01:2 3:0.02:2; do
    IFS=: read -r n rate nodes <<<"$task"
    "$TENSAIR" report "runs/run-$array/task-$n" --json >report.json
    grep -q "\"exit_code\": 0" report.json
    grep -q "\"replicas\": $nodes" report.json
    grep -q "^  rate: $rate\$" "runs/run-$array/task-$n/config.yaml"
done

TENSAIR_RUN_DIR=mine "$SOURCE/slurm/interactive.sh" --nodes=2 --ntasks-per-node=2 -- run.yaml --set "$SHORT" </dev/null
[ "$("$TENSAIR" report mine --exit-code)" = 0 ]
"$TENSAIR" report mine --json | grep '"replicas": 4' >/dev/null
