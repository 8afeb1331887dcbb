# The link of a machine is down for a second: nobody is given up, and what was not delivered comes with a new path.
. "$VM_TESTS/training.sh"
drill_begins --set exchange.dead_after=10
before=$(told '[r["steps"] for r in records if r.get("kind") == "window" and r["rank"] == 2][-1:]')
on 2 'ip link set eth0 down; sleep 1; ip link set eth0 up'
sleep 8
[ -z "$(told '[r for r in records if r.get("event") == "peer_lost"]')" ]
after=$(told '[r["steps"] for r in records if r.get("kind") == "window" and r["rank"] == 2][-1:]')
echo "rank 2 went from step $before to $after"
[ "$after" -gt "$before" ]
drill_ends 75
agree 0 1 2 3
