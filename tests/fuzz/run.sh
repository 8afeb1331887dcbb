#!/usr/bin/env bash
# Throws damaged configurations, streams, checkpoints, recordings, texts and word vectors at their readers, any text at a
# vocabulary, and any bytes at the store that replicas find each other by.
#
#   tests/fuzz/run.sh SECONDS [NAME...]    each fuzzer (config, stream, checkpoint, vocabulary, text, vectors, store,
#                                          store_file, record) for so long, two at a time
#
# Builds with clang in build/fuzz. Seeds are made anew from the program's own writers; what was found to be interesting
# is kept in build/fuzz/corpus, an input that crashes in build/fuzz/crashes. To see one again:
#   build/fuzz/tests/fuzz/fuzz_stream build/fuzz/crashes/stream-...
# Exit status: 0 nothing found, 1 something was, 77 there is no clang with libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:?how many seconds each?}
shift
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(config stream checkpoint vocabulary text vectors store store_file record)
case $seconds in *[!0-9]* | 0) echo "tests/fuzz/run.sh: '$seconds' is not a number of seconds" >&2 && exit 2 ;; esac

build=build/fuzz
if ! echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p == 0 && n < 0; }' |
    clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null; then
    echo "SKIPPED: clang with libFuzzer is missing: apt-get install clang libclang-rt-14-dev"
    exit 77
fi
mkdir -p "$build"
targets=(fuzz_seeds)
for name in "${names[@]}"; do targets+=("fuzz_$name"); done
if ! { cmake --preset fuzz -DTA_SANITIZE=address,undefined,fuzzer-no-link &&
    cmake --build "$build" --target "${targets[@]}" -j "$(nproc)"; } >"$build/build.log" 2>&1; then
    tail -40 "$build/build.log"
    exit 1
fi
"$build/tests/fuzz/fuzz_seeds" "$build/seeds"
mkdir -p "$build/crashes"

# libhdf5 of Debian is built without sanitizers and keeps lists of its own until the end: leaks are looked for in the
# test suite, not here.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

fuzz() {
    local name=$1 log=$build/fuzz-$1.log
    mkdir -p "$build/corpus/$name" "$build/seeds/$name"
    if "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="$build/crashes/$name-" "$build/corpus/$name" "$build/seeds/$name" \
        >"$log" 2>&1; then
        echo "ok      fuzz_$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s"
    else
        echo "FAILED  fuzz_$name: see $log"
        tail -60 "$log"
        return 1
    fi
}

failed=0
running=()
for name in "${names[@]}"; do
    fuzz "$name" &
    running+=($!)
    if [ ${#running[@]} -ge 2 ]; then
        wait "${running[0]}" || failed=1
        running=("${running[@]:1}")
    fi
done
for job in "${running[@]}"; do wait "$job" || failed=1; done
exit $failed
