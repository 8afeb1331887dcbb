#!/usr/bin/env bash
# What does asynchrony cost? Loss over records for 1 to 64 replicas, by each exchange, with and without damping of stale
# updates. Simulated (tensair sim): the numbers are those of real replicas, the times are the assumptions it prints.
#   experiments/convergence/run.sh [options of experiments/asynchrony/compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_setup
stream=$(ta_stream_mnist) || { echo "convergence: without MNIST: a stream of glyphs" >&2 && stream=$(ta_stream_glyphs); }
TENSAIR=$tensair experiments/asynchrony/compare experiments/convergence/convergence.yaml --title "one pass over a stream" \
    --variants live,live/inverse,live/exponential,live/delay-compensated,dasgd,dasgd/inverse,dasgd@gradients_per_push=4,sync \
    "$@" -- --set stream.file="$PWD/$stream" --step-time 0.0005 --predict-time 0.0002 --memory 10 --jitter 0.1
