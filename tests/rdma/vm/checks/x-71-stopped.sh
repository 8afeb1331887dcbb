# The other machine stands still: its replicas are named within three seconds, and the rest finishes without it.
. "$VM_TESTS/training.sh"
drill_begins
from=$(clock)
kill -STOP "$(guest_pid 2)"
lost_within 3 "$from" "$(clock)" 2 3
on 1 'pkill -TERM -o -x tensair'
status=0
wait "$half1" || status=$?
echo "exit status $status"
[ "$status" = 69 ]
agree 0 1
kill -CONT "$(guest_pid 2)"
on 2 'pkill -TERM -o -x tensair' || true # it may have ended by itself
status=0
wait "$half2" || status=$?
echo "exit status $status of the other machine"
[ "$status" = 69 ] || [ "$status" = 75 ] # it gave up the others, or was stopped before it had
