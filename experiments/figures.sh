#!/usr/bin/env bash
# Runs the programs that measure the figures, several times each, and collects medians with their machine.
#
#   experiments/figures.sh [--repeat N] [--out figures.json] [NAME...]
#   experiments/figures.sh --list
#
# NAME: a figure (cifar_cnn_vs_pytorch_b32) or a program (kernels_vs_pytorch); none: all. Each program in
# experiments/figures/ says in its second line which figures it prints; every figure is a line
#     FIGURE <name> <value> <unit> asked <op> <bound>
# Uses build/release (built when missing) or the program in $TENSAIR. Exit status 1: a figure missed what was asked.
set -euo pipefail
cd "$(dirname "$0")/.."

repeat=3 out=figures.json wanted=()
while [ $# -gt 0 ]; do
    case $1 in
    --repeat) repeat=${2:?--repeat needs a number} && shift ;;
    --out) out=${2:?--out needs a file} && shift ;;
    --list) grep -H '^# FIGURES:' experiments/figures/*.sh | sed 's|experiments/figures/||; s|\.sh:# FIGURES:|:|' && exit 0 ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) echo "figures: unknown option '$1' (see --help)" >&2 && exit 2 ;;
    *) wanted+=("$1") ;;
    esac
    shift
done

# shellcheck source=../cmake/packages.sh
. cmake/packages.sh
ta_packages build run test
if [ -z "${TENSAIR:-}" ]; then
    mkdir -p build
    { cmake --preset release && cmake --build --preset release -j "$(nproc)"; } >build/figures-build.log 2>&1 ||
        { tail -30 build/figures-build.log >&2; exit 1; }
    TENSAIR=$PWD/build/release/framework/cli/tensair
fi
export TENSAIR BUILD_DIR=${BUILD_DIR:-$PWD/build/release}

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
found=no
for program in experiments/figures/*.sh; do
    names=$(sed -n '2s/^# FIGURES: *//p' "$program")
    [ -n "$names" ] || continue
    chosen=no
    [ ${#wanted[@]} -eq 0 ] && chosen=yes
    for name in "${wanted[@]}"; do
        case " $names $(basename "$program" .sh) " in *" $name "*) chosen=yes ;; esac
    done
    [ $chosen = yes ] || continue
    found=yes
    for i in $(seq "$repeat"); do
        echo "figures: $(basename "$program" .sh) ($i of $repeat)" >&2
        "$program" 2>&1 | tee >(cat >&2) | grep '^FIGURE ' >>"$lines" || echo "figures: $program gave no figure" >&2
    done
done
[ $found = yes ] || { echo "figures: nothing is called that; see --list" >&2; exit 2; }
/usr/bin/python3 experiments/figures/collect.py "$lines" "$out"
