#!/usr/bin/env bash
# training.sh: sourced by checks that train: one run of four replicas, two on each guest, in a folder that both see.
. "$VM_TESTS/guests.sh"

run=$(basename "$0" .sh).$$
mkdir -p "$VM/shared/$run"
cat >"$VM/shared/$run/run.yaml" <<'YAML'
run: {seed: 7, max_records: 4000}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 64, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
YAML

# node_trains NODE [OPTIONS]: that guest's half of the run, to its end.
node_trains() {
    local node=$1
    shift
    on "$node" -t 300 "cd \$SHARED/$run && exec \$TENSAIR train run.yaml --quiet --run-dir run -n 4 --nodes 2 \
--node $((node - 1)) $*"
}

# all_train: waits until every rank has told of its training, and leaves them at it.
all_train() {
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        [ "$(told '[r["rank"] for r in records if r.get("kind") == "window"]' | tr ' ' '\n' | sort -u | grep -c .)" = 4 ] && return
        sleep 0.2
    done
    echo "not all train:"
    tail -n 5 "$VM/shared/$run"/run/metrics*.jsonl
    return 1
}

# told EXPRESSION: a Python list about `records`, the lines of the metrics of both guests, in words.
told() {
    python3 - "$VM/shared/$run/run" "$1" <<'PYTHON'
import glob, json, sys
records = []
for name in sorted(glob.glob(sys.argv[1] + "/metrics*.jsonl")):
    with open(name) as file:
        for line in file:
            try:
                records.append(json.loads(line))
            except ValueError: # it is being written
                pass
print(*eval(sys.argv[2]))
PYTHON
}

# lost_within SECONDS FROM TO RANKS: ranks 0 and 1 both name each of those in their logs, so soon after what happened to
# them between FROM and TO by the clock of guest 1. (Clocks of guests differ by up to a second, and a question takes its
# time.)
lost_within() {
    python3 - "$VM/shared/$run/run/log" "$@" <<'PYTHON'
import datetime, re, sys, time
folder, limit, begin, end = sys.argv[1], *map(float, sys.argv[2:5])
missing = {(rank, peer) for rank in (0, 1) for peer in map(int, sys.argv[5:])}
line = re.compile(r"(\S+)Z \S+ rank=\d+ +warn +peer (\d+) (?:has been silent|is gone)")
told = {}
patience = time.monotonic() + 60
while missing - told.keys() and time.monotonic() < patience:
    time.sleep(0.1)
    for rank in (0, 1):
        with open(f"{folder}/rank-{rank:05}.log") as file:
            for when, peer in line.findall(file.read()):
                moment = datetime.datetime.fromisoformat(when).replace(tzinfo=datetime.timezone.utc).timestamp()
                told.setdefault((rank, int(peer)), moment)
if missing - told.keys():
    sys.exit(f"not missed, as (rank, peer): {sorted(missing - told.keys())}")
last = max(told[pair] for pair in missing)
print(f"missed after {last - end:.2f} to {last - begin:.2f} s")
sys.exit(not (last > begin and last - end < limit))
PYTHON
}

clock() { on 1 'date +%s.%N'; }

# Both halves, without an end of their own; returns when all train.
drill_begins() {
    node_trains 2 --set run.max_records=2000000000 "$@" >"$VM/half2" 2>&1 &
    half2=$!
    node_trains 1 --set run.max_records=2000000000 "$@" >"$VM/half1" 2>&1 &
    half1=$!
    trap drill_cleared EXIT
    all_train
}

# Whatever became of it: both guests are as they were.
drill_cleared() {
    kill -CONT "$(guest_pid 2)"
    on 2 'ip link set eth0 up; pkill -KILL -x tensair' || true
    on 1 'ip link set eth0 up; pkill -KILL -x tensair' || true
    sleep 1
    cat "$VM/half1" "$VM/half2" "$VM/shared/$run"/run/log/*
}

# drill_ends STATUS: the launcher of guest 1 is told to stop; its half, and the other where it is still there, end so.
drill_ends() {
    local status1=0 status2=0
    on 1 'pkill -TERM -o -x tensair'
    wait "$half1" || status1=$?
    wait "$half2" || status2=$?
    echo "exit statuses $status1 and $status2"
    [ "$status1" = "$1" ] && [ "$status2" = "${2:-$1}" ]
}

# agree RANKS: all of those came to their last rest together, with one checksum.
agree() {
    local ranks=" $* " rests
    rests="[r for r in records if r.get('event') == 'rest' and ' %d ' % r['rank'] in '$ranks']"
    rests="(lambda all: [r for r in all if r['round'] == max(q['round'] for q in all)])($rests)"
    echo "at rest: $(told "[(r['rank'], r['checksum'], r['steps']) for r in $rests]")"
    [ "$(told "sorted(r['rank'] for r in $rests)")" = "$*" ]
    [ "$(told "set(r['checksum'] for r in $rests)" | wc -w)" = 1 ]
}
