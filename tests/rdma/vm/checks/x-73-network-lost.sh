# The link of a machine goes for good: both halves name the other one's replicas, and end in order.
. "$VM_TESTS/training.sh"
drill_begins
from=$(clock)
to=$(on 1 'ip link set eth0 down; date +%s.%N')
lost_within 3 "$from" "$to" 2 3
on 2 'pkill -TERM -o -x tensair'
drill_ends 69
agree 0 1
