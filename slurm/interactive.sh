#!/bin/bash
# A run on nodes of one's own, watched from here: salloc, then what train.sbatch does.
#
#     slurm/interactive.sh [options of salloc] -- CONFIG.yaml [options of tensair train]
#     slurm/interactive.sh --nodes=2 --ntasks-per-node=2 --time=30 -- config.yaml --set optimizer.rate=0.1
#
# Ctrl-C stops it after a checkpoint; the nodes go back when it has ended. Its output lies in RUN_DIR/job.out.
set -u
here=$(cd "$(dirname "$0")" && pwd)
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift

# Inside the allocation. Ctrl-C reaches the whole group: the batch script is set apart and told by USR1.
inside='
    config=$1 program=${TENSAIR:-tensair}
    export TENSAIR_RUN_DIR=${TENSAIR_RUN_DIR:-runs/$(basename "${config%.*}")-$SLURM_JOB_ID}
    mkdir -p "$TENSAIR_RUN_DIR" || exit 74
    trap "kill -s USR1 \$job" INT TERM HUP
    setsid bash "$HERE/train.sbatch" "$@" >"$TENSAIR_RUN_DIR/job.out" 2>&1 </dev/null &
    job=$!
    "$program" watch "$TENSAIR_RUN_DIR" &
    watcher=$!
    while kill -0 $job 2>/dev/null; do wait $job; done
    wait $job
    code=$?
    sleep 1.5
    kill $watcher 2>/dev/null
    tail -n 12 "$TENSAIR_RUN_DIR/job.out"
    exit $code'
HERE=$here exec salloc "${options[@]}" bash -c "$inside" interactive "$@"
