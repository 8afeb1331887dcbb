# A replica of the other machine is killed: all name it within three seconds, and the rest goes on and agrees.
. "$VM_TESTS/training.sh"
drill_begins
victim=$(on 2 'for p in $(pgrep -x tensair); do grep -zqx TENSAIR_RANK=3 /proc/$p/environ && echo $p; done; true')
from=$(clock)
on 2 "kill -KILL $victim"
lost_within 3 "$from" "$(clock)" 3
drill_ends 69
agree 0 1 2
