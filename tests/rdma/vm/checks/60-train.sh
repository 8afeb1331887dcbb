# The same model trained by four replicas on two machines: verbs between them, and all alike at rest, to the bit.
. "$VM_TESTS/training.sh"
quiet="--set exchange.dead_after=30" # this is about training: a guest may be without its core for seconds
node_trains 2 "$quiet" &
second=$!
node_trains 1 "$quiet"
wait "$second"
agree 0 1 2 3
grep -o '"transport".*' "$VM/shared/$run/run/manifest.json" || true
python3 - "$VM/shared/$run/run/manifest.json" <<'PYTHON'
import json, sys
with open(sys.argv[1]) as file:
    manifest = json.load(file)
print(manifest["transport"])
assert manifest["nodes"] == 2 and manifest["exit_code"] == 0, manifest
assert "verbs" in str(manifest["transport"]) and "rxe0" in str(manifest["transport"]["in_use"]), manifest["transport"]
PYTHON
