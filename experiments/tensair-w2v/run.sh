#!/usr/bin/env bash
# How fast does TensAIR's own word2vec stream train, and what travels for it? A gradient there is 120 MB.
#   experiments/tensair-w2v/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_experiment tensair-w2v 1 "$@"
