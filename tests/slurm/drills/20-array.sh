#!/usr/bin/env bash
# An array of jobs, each a run of its own with a setting of its own.
. "$CLUSTER_TESTS/drill.sh"
cat >array.sbatch <<'SCRIPT'
#!/usr/bin/env bash
#SBATCH --job-name=array --output=array-%a.out
srun "$TENSAIR" train run.yaml --quiet --run-dir "array-$SLURM_ARRAY_TASK_ID" --set run.seed="$SLURM_ARRAY_TASK_ID"
SCRIPT
job=$(sbatch --parsable -N 2 -n 2 --array=1-4%2 array.sbatch)
for task in 1 2 3 4; do
    ends "${job}_$task" COMPLETED
    look "array-$task" agree 1 0 1
    look "array-$task" trained 1 32000
    cleared "array-$task"
done
# Another seed is another run.
[ "$(for task in 1 2 3 4; do look "array-$task" tell '{r["checksum"] for r in records if r.get("event") == "rest"}'
done | sort -u | wc -l)" = 4 ]
