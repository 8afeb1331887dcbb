#!/usr/bin/env bash
# One replica is ten times slower than the others: whom does that hold up, and for how much? Records per second by exchange, as
# a share of what the others make together: for real, a replica a core, and simulated with eight.
#   experiments/stragglers/run.sh [options of tensair sim]      SECONDS_EACH=5 of each real run
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
ta_setup
stream=$(ta_stream_mnist) || { echo "stragglers: without MNIST: a stream of glyphs" >&2 && stream=$(ta_stream_glyphs); }
config=experiments/stragglers/stragglers.yaml
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT

rate() { # EXCHANGE REPLICAS [RANK:FACTOR]: of a real run
    local slow=()
    [ $# -lt 3 ] || slow=(--set "run.slow=[{rank: ${3%:*}, factor: ${3#*:}}]")
    rm -rf "$runs/run"
    "$tensair" train $config -n "$2" --quiet --run-dir "$runs/run" --set stream.file="$PWD/$stream" --set exchange.type="$1" \
        --set run.max_seconds="${SECONDS_EACH:-5}" --set checkpoint.off=true "${slow[@]}" >/dev/null
    "$tensair" report "$runs/run" --json | sed -n 's/.*"records_per_s": *\([0-9.e+]*\).*/\1/p' | head -n 1
}

simulated() { # EXCHANGE REPLICAS [RANK:FACTOR] ...: options of tensair sim come behind
    local exchange=$1 n=$2 slow=() line
    [ -z "$3" ] || slow=(--slow "$3")
    shift 3
    line=$("$tensair" sim $config -n "$n" --json --points 0 --set stream.file="$PWD/$stream" --set exchange.type="$exchange" \
        --set run.max_seconds=0.5 --step-time 0.003 --predict-time 0.001 --memory 10 --jitter 0.1 "${slow[@]}" "$@" 2>/dev/null)
    sed -n 's/.*"kind":"run".*"records_per_s":\([0-9.e+]*\).*/\1/p' <<<"$line"
}

table() { # NAME REPLICAS EVEN SLOW: what the others make together is (n - 1) / n of the even run
    awk -v name="$1" -v n="$2" -v even="$3" -v slow="$4" 'BEGIN {
        printf "%-18s %8d %16.0f %16.0f %26.1f\n", name, n, even, slow, 100 * slow / (even * (n - 1) / n) }'
}

printf '%-18s %8s %16s %16s %26s\n' exchange replicas 'all alike, rec/s' 'one slow, rec/s' 'of the other ones'"' sum, %"
n=$(nproc)
[ "$n" -le 8 ] || n=8
if [ "$n" -gt 1 ]; then
    for exchange in live dasgd sync; do
        table "$exchange" "$n" "$(rate $exchange "$n")" "$(rate $exchange "$n" 1:10)"
    done
else
    echo "(real runs: SKIPPED: there is one core)"
fi
for exchange in live dasgd sync; do
    table "$exchange, simulated" 8 "$(simulated $exchange 8 "" "$@")" "$(simulated $exchange 8 7:10 "$@")"
done
