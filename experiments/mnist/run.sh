#!/usr/bin/env bash
# Does a replicated CNN learn MNIST in one pass, each record seen once, as well as a single one?
#   experiments/mnist/run.sh [REPLICAS] [options of tensair train]
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_experiment mnist 2 "$@"
