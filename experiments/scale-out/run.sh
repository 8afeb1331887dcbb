#!/usr/bin/env bash
# How far does it scale? Records per second by number of replicas: for real up to the cores at hand, simulated up to 1,024, where
# all are peers of all, in a tree, and in clusters of 32 that a tree joins; with the assumptions. Thirty steps a replica.
#   experiments/scale-out/run.sh [options of tensair sim]       SECONDS_EACH=5 of each real run
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_setup
stream=$(ta_stream_mnist) || { echo "scale-out: without MNIST: a stream of glyphs" >&2 && stream=$(ta_stream_glyphs); }
config=experiments/scale-out/scale-out.yaml
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT

echo "for real, a replica a core, shared memory"
for ((n = 1; n <= $(nproc) && n <= 64; n *= 2)); do
    "$tensair" train $config -n "$n" --quiet --run-dir "$runs/$n" --set stream.file="$PWD/$stream" \
        --set run.max_seconds="${SECONDS_EACH:-5}" --set checkpoint.off=true >/dev/null
    "$tensair" report "$runs/$n" --json | sed -n 's/.*"records_per_s": *\([0-9.e+]*\).*/\1/p' | head -n 1
done | awk 'NR == 1 {one = $1} {n = 2 ^ (NR - 1); printf "%8d %12.0f records/s %8.1f %% efficiency\n", n, $1, 100 * $1 / one / n}'

# Simulated: the same assumptions for all; so many records that each replica makes thirty steps.
for run in full:1 full:16 full:64 tree:16 tree:64 tree:256 tree:1024 clusters:64 clusters:256 clusters:1024; do
    n=${run#*:}
    "$tensair" sim $config -n "$n" --topology "${run%:*}" --records $((n * 30 * 32)) --points 0 --set stream.file="$PWD/$stream" \
        --per-node 32 --step-time 0.001 --predict-time 0.0005 --memory 10 --jitter 0.1 "$@" 2>/dev/null
done | awk '$2 ~ /^(full|tree|clusters)$/ { # efficiency against the one replica of the first line
        if (!one) one = $4
        printf "%8d  %-8s %12s %12s %10.1f%% %9s %8s %8s %6s %10s %11s\n", $1, $2, $3, $4, 100 * $4 / $1 / one, $6, $7, $8, $9, $10, $11
        next }
    !one && $3 != "records" {print}'
