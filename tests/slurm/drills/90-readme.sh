#!/usr/bin/env bash
# What README says of a cluster, line by line, as a person would paste it; less the build, with a shorter stream and smaller nodes.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
awk '/^## /{on = /^## A cluster with Slurm/} on && /^    /' "$SOURCE/README.md" >lines
cat lines
[ "$(wc -l <lines)" -le 10 ]
sed -e "s|git clone URL|git clone -q '$SOURCE'|" \
    -e '/ta_packages/d' -e '/cmake --preset/d' -e "s|^ *export PATH=.*|export PATH=$(dirname "$TENSAIR"):\$PATH|" \
    -e 's/--tasks-per-node 8/--tasks-per-node 1/' -e 's|\(tensair submit .*\) *#.*|\1 --set run.max_records=40000|' lines >pasted
[ "$(wc -l <pasted)" = $(($(wc -l <lines) - 2)) ]
bash -euo pipefail pasted | tee said
grep -q 'records/s' said
grep -q '/model_weights' said
[ "$(ls tensair/runs/example-*/checkpoint/*/DONE | wc -l)" -ge 1 ]
