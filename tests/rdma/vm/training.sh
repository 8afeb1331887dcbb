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
import datetime, glob, json, sys
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

# lost_within SECONDS FROM TO RANKS: ranks 0 and 1 both name each of those, so soon after what happened to them between
# FROM and TO by the clock of guest 1. (Clocks of guests differ by up to a second, and a question takes its time.)
lost_within() {
    local limit=$1 from=$2 to=$3 tries rank said last
    shift 3
    for ((tries = 0; tries < 300; tries++)); do
        said=0
        for rank in "$@"; do
            said=$((said + $(told "[1 for r in records if r.get('event') == 'peer_lost' and r['rank'] < 2 and 'peer $rank ' in r['text']]" | wc -w)))
        done
        [ "$said" -ge $((2 * $#)) ] && break
        sleep 0.1
    done
    [ "$said" -ge $((2 * $#)) ] || { echo "ranks 0 and 1 do not miss ranks $*" && return 1; }
    last=$(told "[max(datetime.datetime.fromisoformat(r['wall'].replace('Z', '+00:00')).timestamp() for r in records if r.get('event') == 'peer_lost' and r['rank'] < 2)]")
    awk -v last="$last" -v from="$from" -v to="$to" -v limit="$limit" 'BEGIN {
        printf "missed after %.2f to %.2f s\n", last - to, last - from
        exit !(last - to < limit && last > from)
    }'
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
    cat "$VM/half1" "$VM/half2"
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

# agree RANKS: those came to rest last with one checksum.
agree() {
    local rests
    rests=$(told '[(r["rank"], r["checksum"], r["steps"]) for r in records if r.get("event") == "rest" and r["round"] == max(q["round"] for q in records if q.get("event") == "rest")]')
    echo "at rest: $rests"
    [ "$(told 'sorted(r["rank"] for r in records if r.get("event") == "rest" and r["round"] == max(q["round"] for q in records if q.get("event") == "rest"))')" = "$*" ]
    [ "$(told 'set(r["checksum"] for r in records if r.get("event") == "rest" and r["round"] == max(q["round"] for q in records if q.get("event") == "rest"))' | wc -w)" = 1 ]
}
