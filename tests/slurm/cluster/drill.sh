#!/usr/bin/env bash
# drill.sh: sourced by each drill, inside the cluster. WORK: a folder that all nodes see, with run.yaml in it.
node() { "$CLUSTER_TESTS/node" "$@"; }
look() { "$CLUSTER_TESTS/look" "$WORK/$1" "${@:2}"; }

WORK=$CLUSTER/work
cd "$WORK"
export WORK
# Paced: replicas that wait leave the processor to others, and a run lasts as long as it is said to. By default 32,000
# records, or 2000 steps, in four seconds.
cat >run.yaml <<'YAML'
run: {seed: 7, max_records: 32000}
stream: {generator: sea, batch: 16}
pace: {type: constant, rate: 8000}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 64, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
metrics: {every_seconds: 0.3}
# On a busy machine a core may be away for seconds; where silence is to be death, a drill says so by QUICK.
exchange: {dead_after: 30}
YAML
FOREVER=(--set run.max_records=2000000000)
QUICK=(--set exchange.dead_after=2.5)

# Whatever became of it: what was said stands in the log.
tell_all() {
    local file status=$?
    case $status in 0 | 77) return ;; esac
    for file in "$WORK"/*.out "$WORK"/*/log/*; do
        [ ! -f "$file" ] || { echo "--- ${file#"$WORK/"}" && tail -n 40 "$file"; }
    done
    timeout 5 squeue -l || true
}
trap tell_all EXIT

# batch NAME [TRAIN OPTIONS]: a batch script that trains in $WORK/NAME, on four nodes and a replica a task if sbatch is
# not told otherwise. It passes USR1 on to its step, and is requeued when that has left a checkpoint.
batch() {
    local name=$1
    shift
    cat >"$name.sbatch" <<SCRIPT
#!/usr/bin/env bash
#SBATCH --job-name=$name --output=$WORK/$name.out --open-mode=append --requeue ${KILL:---no-kill}
#SBATCH --nodes=4 --ntasks-per-node=1
trap 'scancel --signal=USR1 "\$SLURM_JOB_ID.0"' USR1
srun --kill-on-bad-exit=0 --no-kill --wait=0 --nodes="\$SLURM_JOB_NUM_NODES" \\
    --ntasks-per-node="\$SLURM_NTASKS_PER_NODE" --ntasks=\$((SLURM_JOB_NUM_NODES * SLURM_NTASKS_PER_NODE)) \\
    $TENSAIR train run.yaml --quiet --run-dir $WORK/$name $* &
while kill -0 \$! 2>/dev/null; do wait \$!; done # a trapped signal ends a wait early
wait \$!
status=\$?
echo "batch: the step ended with \$status"
[ \$status != 75 ] || scontrol requeue "\$SLURM_JOB_ID"
exit \$status
SCRIPT
    echo "$name.sbatch"
}

# queue NAME [SBATCH OPTIONS] -- [TRAIN OPTIONS]: the ready-made script, as a person would queue it; prints the job.
queue() {
    local name=$1 options=()
    shift
    while [ "${1:---}" != -- ]; do options+=("$1") && shift; done
    TENSAIR_RUN_DIR=$WORK/$name TENSAIR_MEMLOCK=off sbatch --parsable --job-name="$name" --output="$WORK/$name.out" \
        "${options[@]}" "$SOURCE/slurm/train.sbatch" run.yaml --quiet "${@:2}"
}

# field JOB NAME: as `scontrol show job` says it.
field() { timeout 10 scontrol -o show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1; }

# until_true SECONDS COMMAND...: tried ten times a second.
until_true() {
    local tries=$(($1 * 10))
    shift
    while ! "$@"; do
        [ $((tries--)) -gt 0 ] || { echo "did not come true: $*" && return 1; }
        sleep 0.1
    done
}

is_field() { [[ $(field "$1" "$2") =~ ^($3)$ ]]; }
# ends JOB STATE [EXIT-STATUS] [SECONDS]
ends() {
    until_true "${4:-60}" is_field "$1" JobState 'COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|PREEMPTED'
    echo "job $1: $(field "$1" JobState), exit status $(field "$1" ExitCode)"
    is_field "$1" JobState "$2" && is_field "$1" ExitCode "${3:-0}:.*"
}

no_tasks() { [ -z "$(node "$1" tasks)" ]; }
clock() { date +%s.%N; }
# Nobody of the run is left, and nothing of its rendezvous.
cleared() {
    ! ls -d "$WORK/$1"/rendezvous "$WORK/$1"/lock 2>/dev/null && ! pgrep -f "[-]-run-dir $WORK/$1( |$)"
}

# The exit status where ranks were lost: 137 where srun's own counts, for the task that was killed.
LOST='(69|137)'
# stop_run JOB: its step is told to leave a checkpoint and stop.
# (scancel complains where a task is gone, and tells the others all the same.)
stop_run() { scancel --signal=TERM "$1.0" || true; }
