#!/usr/bin/env bash
# FIGURES: shm_put_4MiB_vs_memcpy shm_put_64B_visible
#
# Puts through shared memory between two processes, each on a core of its own: bandwidth of 4 MiB as a share of memcpy's
# (in turns, same run, buffers warm), and how soon the peer sees 64 bytes (half a round trip, median). Needs $TENSAIR, the
# program, and two idle cores.
set -euo pipefail
: "${TENSAIR:?set TENSAIR to the tensair program}"

"$TENSAIR" bench window --transport shm --sizes 64,4K,256K,4M --seconds 1
