#!/usr/bin/env bash
# The model of the live exchange (protocol.pml), every state of it, by Spin; and rules left out of it, which must be found.
#
#   tests/exchange/protocol.sh [--all]      --all: the sizes that take minutes, too
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for need in spin:spin gcc:gcc; do
    command -v "${need%:*}" >/dev/null || { echo "SKIPPED: no ${need%:*}: apt-get install ${need#*:}" && exit 77; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# search OPTIONS: prints "ERRORS STATES"; says so where not every state was seen.
search() {
    # shellcheck disable=SC2086
    spin -a $1 "$here/protocol.pml" >spin.log || { cat spin.log; exit 1; }
    gcc -O2 -w -DSAFETY -DHC4 -DMEMLIM=3000 -o pan pan.c
    ./pan -m1000000 -w24 >pan.log 2>&1 || true
    if grep -qE 'truncated|out of memory|max search depth' pan.log; then cat pan.log && exit 1; fi
    awk '/errors:/ { errors = $NF } /states, stored/ { print errors, $1 }' pan.log
}

holds() {
    local errors states
    read -r errors states <<<"$(search "$1")"
    echo "$1: $states states, ${errors:-no} errors"
    [ "$errors" = 0 ]
}

misses() {
    local errors states
    read -r errors states <<<"$(search "$1")"
    echo "$1: found after $states states"
    [ "${errors:-0}" -gt 0 ] || { echo "a rule was left out, and nothing was found"; exit 1; }
}

holds "-DRANKS=2 -DROUNDS=2 -DSTEPS=2 -DCRASHES=1"
holds "-DRANKS=2 -DROUNDS=2 -DWRONG=2"
holds "-DRANKS=3 -DMORTAL=0"
holds "-DRANKS=3 -DCRASHES=1 -DMORTAL=1"
holds "-DRANKS=3 -DSPARES=1 -DMORTAL=0"
misses "-DRANKS=2 -DMUTANT=1"
misses "-DRANKS=2 -DCRASHES=1 -DMUTANT=2"
misses "-DRANKS=3 -DCRASHES=1 -DMORTAL=1 -DMUTANT=3"
misses "-DRANKS=3 -DSPARES=1 -DMORTAL=0 -DMUTANT=4"
misses "-DRANKS=3 -DSPARES=1 -DMORTAL=0 -DMUTANT=5"
[ "${1:-}" != --all ] || for rest in "-DCRASHES=1 -DMORTAL=4" "-DWRONG=1 -DMORTAL=1" "-DWRONG=1 -DMORTAL=4" \
    "-DSPARES=1 -DCRASHES=1 -DMORTAL=1" "-DSPARES=1 -DCRASHES=1 -DMORTAL=4"; do
    holds "-DRANKS=3 $rest"
done
