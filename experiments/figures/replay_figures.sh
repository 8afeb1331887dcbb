#!/usr/bin/env bash
# FIGURES: replay_mnist_unpaced replay_10k_p99
#
# How fast the replayer delivers MNIST from a stream file (checksummed chunks, as `tensair data import` writes them), and
# how true it paces 10,000 records a second. The first is bytes of x as stored, handed over as float32 through the ring;
# the second is the 99th percentile of |actual - due| of every record, and wants an idle core. Needs $TENSAIR, the
# program; takes MNIST from $TENSAIR_DATA/mnist, or draws a stream of the same shape.
set -euo pipefail
: "${TENSAIR:?set TENSAIR to the tensair program}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mnist=${TENSAIR_DATA:-/nonexistent}/mnist
if [ -e "$mnist/train-images-idx3-ubyte.gz" ]; then
    "$TENSAIR" data import idx "$mnist/train-images-idx3-ubyte.gz" "$mnist/train-labels-idx1-ubyte.gz" \
        -o "$work/stream.h5" >&2
else
    echo "replay_figures: no MNIST under TENSAIR_DATA: a drawn stream of its shape instead" >&2
    "$TENSAIR" data make glyphs --records 60000 --seed 1 -o "$work/stream.h5" >&2
fi

"$TENSAIR" replay "$work/stream.h5" --seconds 0.5 >/dev/null # into the page cache
"$TENSAIR" replay "$work/stream.h5" --seconds 3 --figure replay_mnist_unpaced
"$TENSAIR" replay "$work/stream.h5" --rate 10000 --seconds 5 --figure replay_10k_p99
