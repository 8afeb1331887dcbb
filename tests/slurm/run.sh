#!/usr/bin/env bash
# Slurm for real: each drill gets a cluster of four nodes of its own, submits jobs and breaks things.
#
#   tests/slurm/run.sh [--only REGEX] [--all] [--list]
#       --only REGEX   the drills whose name matches
#       --all          also the slow ones, whose names begin with x-
#       --list         prints their names
#   TENSAIR_BUILD=DIR                build whose program runs (default build/release)
#   CLUSTER_MODE=namespaces|plain    how nodes are told apart (default: namespaces where they are allowed)
#   DRILLS_AT_ONCE=4                 they wait more than they work
#   TENSAIR_LOGS=DIR                 where logs go (default build/test-logs/slurm)
#
# Exit status 0: all passed, 1: not so, 77: SKIPPED, with the reason.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

only=. all=no list=no
while [ $# -gt 0 ]; do
    case $1 in
    --only) only=${2:?--only needs a regular expression} && shift ;;
    --all) all=yes ;;
    --list) list=yes ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) echo "tests/slurm/run.sh: unknown option '$1' (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

drills=()
for drill in tests/slurm/drills/*.sh; do
    name=$(basename "$drill" .sh)
    [[ $name =~ $only ]] || continue
    [ "$all" = yes ] || [[ $name != x-* ]] || [[ $only != . ]] || continue
    drills+=("$name")
done
[ "$list" = no ] || { printf '%s\n' "${drills[@]}" && exit 0; }
[ ${#drills[@]} -gt 0 ] || { echo "tests/slurm/run.sh: no drill is called like '$only'" >&2 && exit 2; }

SOURCE=$PWD
BUILD=$(realpath -m "${TENSAIR_BUILD:-build/release}")
TENSAIR=$BUILD/framework/cli/tensair
CLUSTER_TESTS=$PWD/tests/slurm/cluster
export SOURCE BUILD TENSAIR CLUSTER_TESTS
[ -x "$TENSAIR" ] || { echo "tests/slurm/run.sh: no program at $TENSAIR: build first" >&2 && exit 2; }

logs=${TENSAIR_LOGS:-build/test-logs/slurm}
rm -rf "$logs"
mkdir -p "$logs"
logs=$(realpath "$logs")

declare -A name_of=() begin_of=() # of those that run, by process
finish() {
    trap '' INT TERM HUP
    # Each takes its cluster down.
    [ ${#name_of[@]} -eq 0 ] || { kill -TERM "${!name_of[@]}" && wait "${!name_of[@]}"; } 2>/dev/null
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", b - a }'; }

# One that starts and ends at once says whether, and how, there are clusters here.
suite=$EPOCHREALTIME
# shellcheck disable=SC2016
said=$(tests/slurm/cluster/enter bash -c 'echo "cluster: $(scontrol --version), 4 nodes, $CLUSTER_MODE"' 2>&1)
status=$?
echo "$said"
[ "$status" = 0 ] || exit "$status"

# report NAME STATUS SECONDS
failed=0 skipped=0
report() {
    local log=$logs/$1.log took
    took=$(printf '%6s s' "$3")
    case $2 in
    0) printf 'PASS  %-16s %s\n' "$1" "$took" ;;
    77) printf 'SKIP  %-16s %s  %s\n' "$1" "$took" "$(tail -n 1 "$log")" && skipped=$((skipped + 1)) ;;
    *)
        printf 'FAIL  %-16s %s  exit status %s\n' "$1" "$took" "$2"
        tail -n 80 "$log" | sed 's/^/      /'
        failed=$((failed + 1))
        ;;
    esac
    grep -h '^FIGURE ' "$log" # what an experiment collects
}

# until_fewer N: reports those that end until fewer than N run.
until_fewer() {
    local pid status
    while [ ${#name_of[@]} -ge "$1" ]; do
        wait -n -p pid "${!name_of[@]}"
        status=$?
        report "${name_of[$pid]}" "$status" "$(seconds "${begin_of[$pid]}" "$EPOCHREALTIME")"
        unset "name_of[$pid]"
    done
}

for name in "${drills[@]}"; do
    until_fewer "${DRILLS_AT_ONCE:-4}"
    CLUSTER_LOGS=$logs/$name tests/slurm/cluster/enter bash -euo pipefail "tests/slurm/drills/$name.sh" \
        >"$logs/$name.log" 2>&1 &
    name_of[$!]=$name begin_of[$!]=$EPOCHREALTIME
done
until_fewer 1
echo "${#drills[@]} drills, $failed failed, $skipped skipped, in $(seconds "$suite" "$EPOCHREALTIME") s"
[ "$failed" -eq 0 ]
