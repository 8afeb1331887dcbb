#!/usr/bin/env bash
# FIGURES: verbs_put_64B_vs_ib_write_lat verbs_put_1MiB_vs_ib_write_bw rendezvous_1000_ranks exchange_share_of_step
#
# Puts by verbs beside perftest's programs, on a soft-RoCE device in a virtual machine (tests/rdma/run.sh), in one run; a
# thousand simulated replicas that find each other's keys through one store; what the exchange takes of a CIFAR-10 step
# beside one, three and seven peers (the largest counts), with a transport whose puts cost nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD_DIR:-build/release}

TENSAIR_BUILD=$build tests/rdma/run.sh --only '^x-50-bench$' | grep '^FIGURE ' || echo "network: no virtual machine here" >&2

"$build/tests/rdma/test_rdma_store_crowd" 1000 10 |
    sed -n 's/.*through one store in \([0-9.]*\) s.*/FIGURE rendezvous_1000_ranks \1 s asked < 10/p'

"$build/tests/exchange/test_exchange_cost_step" 2>&1 |
    awk '/share/ || /%/ {print "network: " $0 > "/dev/stderr"}
         match($0, /[0-9.]+ % of a step/) {v = substr($0, RSTART) + 0; if (v > most) most = v; seen = 1}
         END {if (seen) print "FIGURE exchange_share_of_step", most, "% asked < 2"}'
