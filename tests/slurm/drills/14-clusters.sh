#!/usr/bin/env bash
# Two nodes of two tasks: the replicas of a node all put to each other, their first ones join the nodes to a tree.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
job=$(queue clusters --nodes=2 --ntasks-per-node=2 -- --set exchange.topology=clusters --set exchange.fan_out=1)
ends "$job" COMPLETED
look clusters agree 1 0 1 2 3
look clusters trained 1 32000
# A leader puts to its companion and to the other leader; the others to their leader alone.
for rank in 0 2; do grep 'transport: mixed: .*, 1 paths; between nodes .*, 1 paths,' clusters/log/rank-0000$rank.log; done
for rank in 1 3; do grep 'transport: mixed: .*, 1 paths; between nodes .*, 0 paths,' clusters/log/rank-0000$rank.log; done
cleared clusters
