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

# all_trained: waits until every rank has told of its training, and leaves them at it.
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

# agree RANKS: those came to rest last with one checksum.
agree() {
    local rests
    rests=$(told '[(r["rank"], r["checksum"], r["steps"]) for r in records if r.get("event") == "rest" and r["round"] == max(q["round"] for q in records if q.get("event") == "rest")]')
    echo "at rest: $rests"
    [ "$(told 'sorted(r["rank"] for r in records if r.get("event") == "rest" and r["round"] == max(q["round"] for q in records if q.get("event") == "rest"))')" = "$*" ]
    [ "$(told 'set(r["checksum"] for r in records if r.get("event") == "rest" and r["round"] == max(q["round"] for q in records if q.get("event") == "rest"))' | wc -w)" = 1 ]
}
