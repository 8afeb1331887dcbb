#!/usr/bin/env bash
# `tensair bench window`: every byte right, both figures printed, wrong command lines refused with exit code 2.
set -euo pipefail
: "${TENSAIR:?}"

fail() { echo "bench_window: $*" >&2; exit 1; }

out=$("$TENSAIR" bench window --sizes 1,64,4097,4M --seconds 0.02 --verify)
[ "$(grep -c 'every byte right$' <<<"$out")" = 4 ] || fail "not every size was verified: $out"
grep -Eq '^FIGURE shm_put_4MiB_vs_memcpy [0-9]+\.[0-9]+ ratio asked >= 0\.80$' <<<"$out" || fail "no bandwidth figure: $out"
grep -Eq '^FIGURE shm_put_64B_visible [0-9]+\.[0-9]+ us asked < 1$' <<<"$out" || fail "no latency figure: $out"
grep -q '^# machine: ' <<<"$out" || fail "no machine: $out"

out=$("$TENSAIR" bench window --rows 50 --row-bytes 4,448,1216 --seconds 0.02 --verify)
[ "$(grep -c 'every byte right$' <<<"$out")" = 6 ] || fail "not every list of rows was verified: $out"
[ "$(grep -Ec '^ +448 +(in order|shuffled) +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+ ' <<<"$out")" = 2 ] || fail "no rates of rows: $out"

refuses() { # CODE WORD ARGUMENTS...
    local code=0 why
    why=$("$TENSAIR" bench "${@:3}" 2>&1 >/dev/null) || code=$?
    [ "$code" = "$1" ] || fail "bench ${*:3}: exit $code, not $1 ($why)"
    grep -q -- "$2" <<<"$why" || fail "bench ${*:3}: does not say '$2': $why"
}
refuses 2 window
refuses 2 "'widow'" widow
refuses 2 "'1X'" window --sizes 1X
refuses 2 "'0'" window --sizes 0
refuses 2 "'64,'" window --sizes 64,
refuses 2 "'-1'" window --seconds -1
refuses 2 "'nan'" window --seconds nan
refuses 2 "'extra'" window extra
refuses 2 "'0'" window --rows 0
refuses 2 "'1x'" window --rows 1x
refuses 2 "'-3'" window --rows -3
refuses 2 "'99999999999'" window --rows 99999999999
refuses 2 "--row-bytes: '4,'" window --rows 5 --row-bytes 4,
refuses 2 "needs --rows" window --row-bytes 448
refuses 2 "does not go with --rows" window --rows 5 --sizes 448
refuses 1 "does not fit\|more than" window --rows 268435456 --row-bytes 1024G
refuses 2 "sim" window --transport sim
refuses 2 "no transport 'smh'" window --transport smh
refuses 1 "does not fit" window --sizes 900G
"$TENSAIR" bench --help | grep -q window || fail "no help"
"$TENSAIR" bench window --help | grep -q -- --verify || fail "no help for window"
