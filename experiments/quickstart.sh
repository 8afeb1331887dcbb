#!/usr/bin/env bash
# From a fresh Debian 12 machine to a network that learns while its data changes: installs what is missing, builds, makes the
# stream, trains two replicas for at most a minute, and says where everything lies. Half way through the labels change; the
# replicas see it, train again, and recover: look at plots/accuracy.png.
#
#   experiments/quickstart.sh [RUN_DIR]
#   TENSAIR_DATA=DIR   where mnist/*.gz lie; without it they are fetched from their public home and checked
#
# With neither data nor network a stream of drawn images is generated instead.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=common.sh
. experiments/common.sh

ta_setup
if ! stream=$(ta_stream_mnist); then
    echo "quickstart: no MNIST in \$TENSAIR_DATA and none to be fetched: generating a stream of drawn images instead"
    stream=$(ta_stream_glyphs)
fi
run_dir=${1:-runs/quickstart-$(date -u +%Y%m%dT%H%M%SZ)}
"$tensair" train experiments/quickstart/quickstart.yaml -n 2 --run-dir "$run_dir" --set stream.file="$PWD/$stream"
"$tensair" plot "$run_dir"
echo
echo "At record 15,000 every label became its successor. Look at what that did in"
echo "    $run_dir/plots/accuracy.png"
echo "Look at what was learned with"
echo "    h5ls -r $run_dir/checkpoint/*/model.h5"
echo "    ${tensair#"$PWD"/} ckpt show $run_dir"
