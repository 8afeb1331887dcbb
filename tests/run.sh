#!/usr/bin/env bash
# Installs what is missing, builds, and passes the whole suite.
#
#   tests/run.sh                    everything: under the sanitizers, the fuzzers, optimised, in virtual machines, in clusters
#   tests/run.sh --quick            the optimised build alone
#   tests/run.sh --only REGEX       tests whose name matches, in every build
#   tests/run.sh --all              also those that take a minute and say what a shorter one has said for less
#   FUZZ_SECONDS=5                  seconds for each fuzzer (0: none)
#   TENSAIR_DATA=DIR                where mnist/, cifar10-head/, elec2/, ... lie; tests that need them are SKIPPED without
#
# Exit status 0: all passed. Builds lie in build/, logs of a run in build/test-logs/.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=../cmake/packages.sh
. cmake/packages.sh

quick=no only=. slow=slow
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --all) slow=none ;;
    --only) only=${2:?--only needs a regular expression} && shift ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) echo "tests/run.sh: unknown option '$1' (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

ta_packages build run test
jobs=$(nproc)
mkdir -p build/test-logs

# suite PRESET [ctest options]: configure, build, run. Most of a test is waiting: half as many more at once, under the
# sanitizers, where nothing is timed, twice as many.
suite() {
    local preset=$1
    shift
    echo "== $preset: build"
    cmake --preset "$preset" >"build/test-logs/$preset-configure.log" 2>&1 || { cat "build/test-logs/$preset-configure.log"; return 1; }
    cmake --build --preset "$preset" -j "$jobs" >"build/test-logs/$preset-build.log" 2>&1 || { tail -40 "build/test-logs/$preset-build.log"; return 1; }
    echo "== $preset: test"
    local at_once=$((2 * jobs))
    [ "$preset" != release ] || at_once=$((jobs + jobs / 2))
    ctest --test-dir "build/$preset" -j "$at_once" --output-on-failure -R "$only" "$@" 2>&1 |
        tee "build/test-logs/$preset.log" || alone "$preset"
}

# alone PRESET: what failed beside others once more, one at a time: drills wait for processes that an overloaded machine may
# starve. What a sanitizer found is not asked twice (leaks are: a failed assertion leaks).
alone() {
    local log=build/test-logs/$1
    ! grep -E "ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error:" "$log.log" || return 1
    echo "== $1: failed beside others, once more alone"
    ctest --test-dir "build/$1" -j 1 --rerun-failed --output-on-failure 2>&1 | tee "$log-alone.log"
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp:halt_on_error=1"
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp:print_suppressions=0"

if [ "$quick" = no ]; then
    # Drills and oracles take minutes and reach no line of ours that other tests do not.
    suite asan -LE "optimised|oracle|drill"
    suite tsan -LE "optimised|oracle|drill"
    if [ "${FUZZ_SECONDS:-5}" -gt 0 ] && [ "$only" = . ] && [ -x tests/fuzz/run.sh ]; then
        echo "== fuzz"
        tests/fuzz/run.sh "${FUZZ_SECONDS:-5}" || [ $? -eq 77 ] # 77: it has said why it was SKIPPED
    fi
fi
suite release -LE "^$slow\$"
if [ "$quick" = no ] && [ "$only" = . ]; then
    echo "== rdma in virtual machines"
    tests/rdma/run.sh || [ $? -eq 77 ] # as above
    echo "== slurm in clusters of four nodes"
    tests/slurm/run.sh || [ $? -eq 77 ] # as above
fi
