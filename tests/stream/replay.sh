#!/usr/bin/env bash
# tensair replay, from outside: what it prints, how it paces, and what it says to nonsense.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
fail() { echo "replay: $*" >&2 && bad=1; }

stream=$work/glyphs.h5
"$TENSAIR" data make glyphs --records 3000 --seed 1 -o "$stream" >/dev/null || { echo "replay: no stream"; exit 1; }

# says WORDS COMMAND...: it succeeds and prints that
says() {
    local words=$1 out
    shift
    out=$("$TENSAIR" replay "$@" 2>&1) || fail "'$*' failed: $out"
    grep -qE "$words" <<<"$out" || fail "'$*' printed no '$words': $out"
}
# refuses CODE WORDS COMMAND...: that exit code, those words on stderr in one line, nothing on stdout
refuses() {
    local code=$1 words=$2 out
    shift 2
    out=$("$TENSAIR" replay "$@" 2>"$work/err")
    [ $? = "$code" ] || fail "'$*' did not exit with $code: $(cat "$work/err")"
    [ -z "$out" ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q -e "$words" "$work/err" ||
        fail "'$*' did not say '$words' in one line: $out $(cat "$work/err")"
}

says '^records    3000 in ' "$stream"
says '^records    7000 in .* batches of 10$' "$stream" --records 7000 --block 10
says '^FIGURE fast [0-9.]+ GB/s asked >= 1.0$' "$stream" --figure fast
says '^FIGURE true [0-9.]+ us asked < 100$' "$stream" --rate 20000 --records 500 --figure true
says '^records    500 in 0\.[45]' "$stream" --rate 1000 --records 500
says 'p50 .* p90 .* p99 .* max' "$stream" --rate 10000 --pace poisson --records 300
says '^records    1000 ' "$stream" --rate 10000 --pace bursts --burst 50 --records 1000
says 'usage: tensair replay' --help
refuses 2 'needs one stream file'
refuses 2 'needs --rate' "$stream" --pace poisson
refuses 2 "'fast' is not a number" "$stream" --rate fast
refuses 2 "'warp' is unknown" "$stream" --rate 5 --pace warp
refuses 2 "'--speeed'" "$stream" --speeed 3
refuses 2 '/t' "$stream" --pace trace
refuses 74 'No such file' "$work/none.h5"
head -c 5000 "$stream" >"$work/short.h5"
refuses 74 "$work/short.h5" "$work/short.h5"
[ $bad = 0 ] && echo "replay: all as it should be"
exit $bad
