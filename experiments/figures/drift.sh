#!/usr/bin/env bash
# FIGURES: drift_mnist_found drift_mnist_false_alarms drift_mnist_trained
#
# experiments/drift-mnist, ten seeds, four replicas, OPTWIN: drifts found of five in the worst run, false alarms in the worst
# run, share of the records trained on (mean).
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

ta_stream_mnist >/dev/null || { echo "drift: SKIPPED: MNIST is neither in \$TENSAIR_DATA nor to be fetched" >&2; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
TENSAIR=$tensair experiments/drift-mnist/run.sh --seeds 10 --detectors optwin --out "$folder" >&2
/usr/bin/python3 - "$folder/results.json" <<'PYTHON'
import json, sys
runs = json.load(open(sys.argv[1]))["runs"]
print(f"FIGURE drift_mnist_found {min(r['found'] for r in runs)} of_5 asked >= 5")
print(f"FIGURE drift_mnist_false_alarms {max(r['false_alarms'] for r in runs)} alarms asked <= 1")
print(f"FIGURE drift_mnist_trained {sum(r['trained'] for r in runs) / len(runs):.3f} ratio asked <= 0.6")
PYTHON
