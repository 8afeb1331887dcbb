#!/usr/bin/env bash
# FIGURES: mnist_accuracy_4_vs_1
#
# Prequential accuracy of MNIST's 60,000 records, each predicted before it is trained on: 4 replicas minus 1 replica, in
# percentage points.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

stream=$(ta_stream_mnist) || { echo "accuracy: SKIPPED: MNIST is neither in \$TENSAIR_DATA nor to be fetched" >&2; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for n in 1 4; do
    "$tensair" train experiments/mnist/mnist.yaml -n $n --quiet --run-dir "$folder/$n" --set stream.file="$PWD/$stream" \
        --set run.max_seconds=0 >/dev/null
    echo "accuracy: $n replicas: $(ta_summary accuracy_all "$folder/$n") of $(ta_summary records "$folder/$n") records," \
        "S_avg $(ta_summary s_avg "$folder/$n")" >&2
done
one=$(ta_summary accuracy_all "$folder/1")
four=$(ta_summary accuracy_all "$folder/4")
awk -v one="$one" -v four="$four" 'BEGIN {printf "FIGURE mnist_accuracy_4_vs_1 %.3f points asked >= -1\n", 100 * (four - one)}'
