#!/usr/bin/env bash
# FIGURES: memory_per_replica
#
# What a replica of the CIFAR-10 CNN holds (exchange, gradient, optimizer, net, ring) against what the design allows:
# (peers + 4) * d floats, the optimizer's state, the activations and the ring. The worst of 2 and 4 replicas. Beside it, for
# comparison: the process's resident memory less that of a replica with a model of a few numbers.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

stream=$(ta_stream_cifar10_shape)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for n in 2 4; do
    "$tensair" train experiments/cifar10/cifar10.yaml -n $n --quiet --run-dir "$folder/$n" \
        --set stream.file="$PWD/$stream" --set run.max_records=$((n * 1280)) >/dev/null
done
"$tensair" train experiments/sea/sea.yaml -n 2 --quiet --run-dir "$folder/small" --set run.max_records=20000 \
    --set stream.file= --set stream.generator=sea >/dev/null
/usr/bin/python3 - "$folder" <<'PYTHON'
import json, sys
folder, worst = sys.argv[1], 0
def windows(name):
    return [line for line in map(json.loads, open(f"{folder}/{name}/metrics.jsonl")) if line["kind"] == "window"]
small = max(line["rss_bytes"] for line in windows("small"))
for n in (2, 4):
    line = max(windows(n), key=lambda line: line["held_bytes"])
    ratio = line["held_bytes"] / line["derived_bytes"]
    worst = max(worst, ratio)
    print(f"memory: {n} replicas: {line['held_bytes']} bytes held, {line['derived_bytes']} derived; resident "
          f"{line['rss_bytes']}, of which {small} are there with a small model", file=sys.stderr)
print(f"FIGURE memory_per_replica {worst:.3f} ratio asked <= 1.10")
PYTHON
