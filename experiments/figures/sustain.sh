#!/usr/bin/env bash
# FIGURES: sustain_seconds sustain_repeats sustain_off_known latency_cost
#
# `tensair bench sustain` as it is called without options, on a network of CIFAR-10's shape with two replicas: seconds
# it takes and, of two calls one after the other, by how many percent the rates found differ. By how many percent a
# rate is missed that is known: a bottleneck of 100 batches a second in each of two replicas. What measuring latencies
# costs: a record in the three histograms, in percent of the time of a record at that rate.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

stream=$(ta_stream_cifar10_shape)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for call in 1 2; do
    "$tensair" bench sustain experiments/sustain-cifar/sustain-cifar.yaml -n 2 --set stream.file="$PWD/$stream" \
        --json "$folder/$call.json" >&2
done
/usr/bin/python3 - "$folder" <<'PYTHON'
import json, sys
calls = [json.load(open(f"{sys.argv[1]}/{i}.json")) for i in (1, 2)]
rates = [c["combinations"][0]["rate"] for c in calls]
print(f"FIGURE sustain_seconds {max(c['seconds'] for c in calls):.0f} s asked <= 300")
print(f"FIGURE sustain_repeats {100 * (max(rates) / min(rates) - 1):.2f} % asked <= 5")
PYTHON
slow=${BUILD_DIR:-build/release}/tests/run/libslow_batches.so
[ ! -f "$slow" ] || {
    cat >"$folder/known.yaml" <<'YAML'
stream: {generator: sea, batch: 16}
model: {loss: cross_entropy, layers: [{type: dense, units: 16, activation: relu}, {type: dense, units: 2, activation: softmax}]}
YAML
    SLOW_BATCHES_PER_S=100 LD_PRELOAD=$(realpath "$slow") "$tensair" bench sustain "$folder/known.yaml" -n 2 \
        --json "$folder/known.json" >&2
    /usr/bin/python3 - "$folder" <<'PYTHON'
import json, sys
rate = json.load(open(f"{sys.argv[1]}/known.json"))["combinations"][0]["rate"]
print(f"FIGURE sustain_off_known {100 * abs(rate / 3200 - 1):.2f} % asked <= 5")
PYTHON
}
cost=$("${BUILD_DIR:-build/release}/tests/run/run_latency" 2>&1 | sed -n 's/^a record costs \([0-9.]*\) ns$/\1/p')
[ -z "$cost" ] || /usr/bin/python3 - "$folder/1.json" "$cost" <<'PYTHON'
import json, sys
c = json.load(open(sys.argv[1]))["combinations"][0]
record_ns = 1e9 * c["replicas"] / c["rate"]
print(f"FIGURE latency_cost {100 * float(sys.argv[2]) / record_ns:.3f} % asked <= 1")
PYTHON
