#!/usr/bin/env bash
# FIGURES: record_rate_ratio record_bytes_per_step
#
# What recording costs: records a second with and without --record, one after the other, ROUNDS (5) times in turn; ratio of the
# medians. Then the bytes that a step of a replica takes in the recording. REPLICAS (2), SECONDS_EACH (3), a network of WIDTH
# (256) squared parameters in its middle.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
replicas=${REPLICAS:-2} width=${WIDTH:-256}
cat >"$folder/run.yaml" <<YAML
run: {seed: 3, max_records: 2000000000, max_seconds: ${SECONDS_EACH:-3}}
stream: {generator: sea, batch: 64}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: $width, activation: relu}
    - {type: dense, units: $width, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: sgd, rate: 0.01}
exchange: {dead_after: 30}
checkpoint: {off: yes}
YAML

for i in $(seq "${ROUNDS:-5}"); do
    for how in plain record; do
        more=()
        [ $how = plain ] || more=(--record "$folder/recording-$i")
        "$tensair" train "$folder/run.yaml" -n "$replicas" --quiet --run-dir "$folder/$how-$i" "${more[@]}" >&2
        ta_summary records_per_s "$folder/$how-$i" >>"$folder/$how"
    done
done
ratio=$(echo "$(ta_median <"$folder/record") $(ta_median <"$folder/plain")" | awk '{printf "%.3f", $1 / $2}')
echo "FIGURE record_rate_ratio $ratio"
echo "$(ta_summary recorded_bytes "$folder/record-1") $(ta_summary steps "$folder/record-1")" |
    awk '{printf "FIGURE record_bytes_per_step %.2f bytes\n", $1 / $2}'
