#!/usr/bin/env bash
# Which drift detector finds the abrupt changes of concept in SEA, and what are they worth to a small network?
#   experiments/sea/run.sh [--quick] [options of experiments/drift/compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_compare sea sea --title "SEA, recorded" "$@"
