#!/usr/bin/env bash
# RDMA for real: boots two virtual machines with soft-RoCE devices and runs vm/checks in and between them.
#
#   tests/rdma/run.sh [--only REGEX] [--all] [--list]
#       --only REGEX   the checks whose name matches
#       --all          also the slow ones, whose names begin with x-
#       --list         prints their names
#   TENSAIR_BUILD=DIR         the build whose programs run (default build/release)
#   TENSAIR_VM_KERNEL=6.12    another kernel of Debian's archive (default: the release's own)
#   TENSAIR_CACHE=DIR         where kernels are kept (default build/vm-kernel)
#
# Exit status 0: all passed, 1: not so, 77: SKIPPED, with the reason. Logs lie in build/test-logs/rdma/.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

only=. all=no list=no
while [ $# -gt 0 ]; do
    case $1 in
    --only) only=${2:?--only needs a regular expression} && shift ;;
    --all) all=yes ;;
    --list) list=yes ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) echo "tests/rdma/run.sh: unknown option '$1' (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

checks=()
for check in tests/rdma/vm/checks/*.sh; do
    name=$(basename "$check" .sh)
    [[ $name =~ $only ]] || continue
    [ "$all" = yes ] || [[ $name != x-* ]] || [[ $only != . ]] || continue
    checks+=("$name")
done
[ "$list" = no ] || { printf '%s\n' "${checks[@]}" && exit 0; }
[ ${#checks[@]} -gt 0 ] || { echo "tests/rdma/run.sh: no check is called like '$only'" >&2 && exit 2; }

case $PWD/ in /tmp/*) echo "SKIPPED: guests have a /tmp of their own and would not see $PWD" && exit 77 ;; esac
BUILD=$(realpath -m "${TENSAIR_BUILD:-build/release}")
TENSAIR=$BUILD/framework/cli/tensair
[ -x "$TENSAIR" ] || { echo "tests/rdma/run.sh: no program at $TENSAIR: build first" >&2 && exit 2; }
kernel=$(tests/rdma/vm/prepare "$(realpath -m "${TENSAIR_CACHE:-build/vm-kernel}")") || exit

logs=$PWD/build/test-logs/rdma
rm -rf "$logs"
mkdir -p "$logs" build/vm-suite
VM=$(mktemp -d "$PWD/build/vm-suite/XXXXXX")
VM_TESTS=$PWD/tests/rdma/vm
export BUILD TENSAIR VM VM_TESTS
# shellcheck source=tests/rdma/vm/guests.sh
. tests/rdma/vm/guests.sh

# However this ends: no guest stays, and no folder.
running=
finish() {
    trap '' INT TERM HUP
    disown -a # no word from the shell when they are ended
    [ -z "$running" ] || kill -KILL -- "-$running" 2>/dev/null
    cp "$VM"/*.console "$VM"/*.qemu "$logs" 2>/dev/null
    guests_stop
    rm -rf "$VM"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Processor time of the guests in seconds: says more than the clock where others compute too.
work() {
    local file total=0
    for file in "$VM"/*.pid; do
        total=$((total + $(awk '{ print $14 + $15 }' "/proc/$(cat "$file")/stat" 2>/dev/null || echo 0)))
    done
    echo $((total / $(getconf CLK_TCK)))
}

seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", b - a }'; }

suite=$EPOCHREALTIME
guests_start "$kernel" 2 || { echo "SKIPPED: virtual machines do not start here (see above)" && exit 77; }
echo "guests: 2, Linux $(cat "$kernel/version"), started in $(seconds "$suite" "$EPOCHREALTIME") s ($(work) s of processor)"

failed=0 skipped=0
for name in "${checks[@]}"; do
    begin=$EPOCHREALTIME worked=$(work)
    setsid -w bash -euo pipefail "tests/rdma/vm/checks/$name.sh" >"$logs/$name.log" 2>&1 &
    running=$!
    wait "$running"
    status=$?
    running=
    took=$(printf '%6s s (%s s of processor)' "$(seconds "$begin" "$EPOCHREALTIME")" "$(($(work) - worked))")
    case $status in
    0) printf 'PASS  %-16s %s\n' "$name" "$took" ;;
    77) printf 'SKIP  %-16s %s  %s\n' "$name" "$took" "$(tail -n 1 "$logs/$name.log")" && skipped=$((skipped + 1)) ;;
    *)
        printf 'FAIL  %-16s %s  exit status %s\n' "$name" "$took" "$status"
        tail -n 60 "$logs/$name.log" | sed 's/^/      /'
        failed=$((failed + 1))
        ;;
    esac
    grep -h '^FIGURE ' "$logs/$name.log" # what an experiment collects
done
echo "${#checks[@]} checks, $failed failed, $skipped skipped, in $(seconds "$suite" "$EPOCHREALTIME") s"
[ "$failed" -eq 0 ]
