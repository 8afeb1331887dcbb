# Both guests have a verbs device whose port is up, with the address of the link as a RoCE v2 GID, and see each other.
. "$VM_TESTS/guests.sh"
for node in 1 2; do
    on $node 'ibv_devinfo -d rxe0 -v' | tee "$VM/devinfo"
    grep -q 'PORT_ACTIVE' "$VM/devinfo"
    grep -Eq "GID\[ *[0-9]+\]:.*::ffff:10\.77\.0\.$node, RoCE v2" "$VM/devinfo"
done
on 1 'ibv_rc_pingpong -d rxe0 -g 1 -n 20 -s 4096' &
server=$!
on 2 'for i in {1..40}; do ibv_rc_pingpong -d rxe0 -g 1 -n 20 -s 4096 node1 && exit; sleep 0.1; done; exit 1'
wait "$server"
