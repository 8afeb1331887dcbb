# The link of a machine goes for good: both halves name the other one's replicas, and end in order.
. "$VM_TESTS/training.sh"
drill_begins
from=$(on 1 'date +%s.%N; ip link set eth0 down')
lost_within 3 "$from" "$from" 2 3
on 2 'pkill -TERM -o -x tensair'
drill_ends 69
agree 0 1
