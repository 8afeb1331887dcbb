#!/usr/bin/env bash
# FIGURES: online_cost_cifar_cnn online_cost_dense detector_optwin detector_adwin
#
# What prequential scoring and the log of predictions take of a training step (the CIFAR-10 CNN with batches
# of 128, a dense net of 784-128-10 with batches of 32), the same step with and without them in turns, in processor time
# with that of the log's thread; and what a number costs the detectors, the worse of a quiet and a changing stream of 0
# and 1.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD_DIR:-build/release}

"$build/tests/online/online_cost" 2>&1 | sed -n '/^FIGURE /p; /of a step$/s/^/online: /w /dev/stderr'
"$build/tests/online/online_speed" 2>&1 |
    awk '$1 == "optwin" || $1 == "adwin" {print "online: " $0 > "/dev/stderr"
             printf "FIGURE detector_%s %.1f ns asked < 50\n", $1, ($2 > $3 ? $2 : $3)}'
