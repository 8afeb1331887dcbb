#!/usr/bin/env bash
# measure.sh [TRANSPORT [OPTIONS OF bench window]] > NAME.yaml
#
# The network that `tensair bench window` finds, as `tensair sim --network` reads it: latency is what the peer sees of a put of
# 64 bytes, bandwidth that of puts of 1 MiB, puts a second those of 8 bytes. Shared memory: the sender copies.
set -euo pipefail
cd "$(dirname "$0")/../.."
tensair=${TENSAIR:-${BUILD_DIR:-build/release}/framework/cli/tensair}
transport=${1:-shm}
shift || true
"$tensair" bench window --transport "$transport" --sizes 8,64,1M "$@" |
    awk -v name="$transport" -v day="$(date -u +%F)" '
        /^# machine: / {machine = substr($0, 12); gsub(/:/, ",", machine)}
        $1 == 8 {puts = $5}
        $1 == 64 {latency = $7}
        $1 == 1048576 {bandwidth = $2}
        END {
            if (puts <= 0 || latency <= 0 || bandwidth <= 0) exit 1
            printf "name: %s\nmade: \"tensair bench window --transport %s, %s, %s\"\n", name, name, day, machine
            printf "latency_us: %s\ngb_per_s: %s\nput_us: %.4f\n", latency, bandwidth, 1e6 / puts
            if (name == "shm") print "sender_copies: yes"
        }'
