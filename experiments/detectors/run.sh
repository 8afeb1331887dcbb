#!/usr/bin/env bash
# Are the drift detectors those of the papers? Their published rows, made again: plain streams of errors, and naive Bayes on
# STAGGER and Agrawal; true and false alarms, delay, accuracy, 30 seeds, beside what was published.
#   experiments/detectors/run.sh [--quick]      --quick: of Agrawal only OPTWIN .1 and ADWIN
# The programs are tests; they end with status 1 where a row is not the published one. tests/online/test_learner.c explains the
# one difference there is (a window of OPTWIN that is full and slides).
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_packages build
mkdir -p build
{ cmake --preset release && cmake --build --preset release --target online_published online_learner -j "$(nproc)"; } \
    >build/detectors-build.log 2>&1 || { tail -30 build/detectors-build.log >&2; exit 1; }
show() { "$@" 2>/dev/null | sed '/^\[/d'; }
tests=build/release/tests/online
[ "${1:-}" = --quick ] && which=some || which=all
show $tests/online_published
show $tests/online_learner $which
