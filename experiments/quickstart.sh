#!/usr/bin/env bash
# From a fresh Debian 12 machine to a trained network: installs what is missing, builds, makes the stream, trains two
# replicas for at most a minute, and says where everything lies.
#
#   experiments/quickstart.sh [RUN_DIR]
#   TENSAIR_DATA=DIR   where mnist/*.gz lie; without it they are fetched from their public home and checked
#
# With neither data nor network a drifting stream of drawn images is generated instead.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=../cmake/packages.sh
. cmake/packages.sh
# shellcheck source=fetch.sh
. experiments/fetch.sh

ta_packages build run
mkdir -p build experiments/data
echo "quickstart: building (log: build/quickstart-build.log)"
{ cmake --preset release && cmake --build --preset release --target tensair -j "$(nproc)"; } >build/quickstart-build.log 2>&1 ||
    { tail -30 build/quickstart-build.log >&2; exit 1; }
tensair=$PWD/build/release/framework/cli/tensair

run_dir=${1:-runs/quickstart-$(date -u +%Y%m%dT%H%M%SZ)}
stream=experiments/data/mnist.h5
if [ ! -f $stream ] && mnist=$(ta_fetch_mnist); then
    "$tensair" data import idx "$mnist/train-images-idx3-ubyte.gz" "$mnist/train-labels-idx1-ubyte.gz" -o $stream
fi
if [ ! -f $stream ]; then
    echo "quickstart: no MNIST in \$TENSAIR_DATA and none to be fetched: generating a drifting stream of drawn images instead"
    stream=experiments/data/glyphs.h5
    [ -f $stream ] || "$tensair" data make glyphs --records 60000 --seed 1 --drift abrupt@30000:1 -o $stream
fi

"$tensair" train experiments/quickstart/quickstart.yaml -n 2 --run-dir "$run_dir" --set stream.file="$PWD/$stream"
"$tensair" plot "$run_dir"
echo
echo "quickstart: look at it with"
echo "    h5ls -r $run_dir/checkpoint/*/model.h5"
echo "    $tensair ckpt show $run_dir"
