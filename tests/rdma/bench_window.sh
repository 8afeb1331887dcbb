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
refuses 2 "'99999'" window --listen 99999
refuses 2 "'here' is not HOST:PORT" window --connect here
refuses 2 "'::1:7' is not HOST:PORT" window --connect ::1:7
refuses 2 "'0'" window --connect localhost:0
refuses 2 "does not go with --connect" window --listen 7 --connect localhost:7
refuses 2 "only answers" window --listen 7 --verify
refuses 2 "needs --transport verbs" window --perftest --transport shm
refuses 2 "does not go with --rows" window --perftest --rows 5
refuses 2 "'17'" window --rails 17

# Two processes that find each other by a port, as on two machines.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
"$TENSAIR" bench window --listen "$port" & listener=$!
out=$("$TENSAIR" bench window --connect "localhost:$port" --transport shm --sizes 64,100001 --seconds 0.02 --verify)
[ "$(grep -c 'every byte right$' <<<"$out")" = 2 ] || fail "not every size was verified between two: $out"
[ "$(grep -Ec '^# (here|there): ' <<<"$out")" = 2 ] || fail "does not describe both sides: $out"
wait "$listener" || fail "the listener failed"

# The listener ends, and says why, when what comes is something else, or goes away in the middle.
visit() { # WORD BYTES...: sends them to a listener and goes
    local why code=0
    "$TENSAIR" bench window --listen "$port" 2>"$scratch/why" & listener=$!
    python3 - "$port" "${@:2}" <<'PYTHON'
import socket, sys, time
for _ in range(200):
    try:
        visitor = socket.create_connection(("localhost", int(sys.argv[1])))
        break
    except ConnectionRefusedError:
        time.sleep(0.02)
visitor.sendall(bytes.fromhex("".join(sys.argv[2:])))
visitor.close()
PYTHON
    wait "$listener" || code=$?
    why=$(cat "$scratch/why")
    [ "$code" = 69 ] || fail "a listener visited with ${*:2}: exit $code ($why)"
    grep -q -- "$1" <<<"$why" || fail "a listener visited with ${*:2} does not say '$1': $why"
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
visit "closed the connection\|is gone" ""
visit "is no .tensair bench window." 474554202f20485454502f312e310d0a # GET / HTTP/1.1
visit "is no .tensair bench window." 54417762 00000000 ffffffff       # 4 GiB of hello
visit "message 0 of 8 bytes" 54417762 00000000 08000000 0000000000000000
visit "closed the connection\|is gone" 54417762 00000000 28000000 0100

"$TENSAIR" bench --help | grep -q window || fail "no help"
"$TENSAIR" bench window --help | grep -q -- --verify || fail "no help for window"
