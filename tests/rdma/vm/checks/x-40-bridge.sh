# The suite between devices on one bridge: packets lost and out of order, then striped over two rails.
. "$VM_TESTS/guests.sh"
on 1 "$VM_TESTS/bridge 4"
undo() { on 1 "$VM_TESTS/bridge off" || true; }
trap undo EXIT
on 1 -t 900 "TENSAIR_TEST_OWNER_DEVICE=rx2 $BUILD/tests/rdma/test_rdma_owner 4712" &
owner=$!
remote="TENSAIR_TEST_OWNER=127.0.0.1:4712 TENSAIR_TEST_OWNER_DEVICE=rx2 TENSAIR_TEST_DEVICE=rx1 TENSAIR_TEST_KINDS='verbs, two machines'"
faulty() { # FAULT SUITE: packets one of a hundred of which is lost or late; what is sent again stays in bounds
    on 1 "for i in 1 2; do tc qdisc replace dev p\$i root netem $1; done"
    on 1 -t 300 "$remote $BUILD/tests/rdma/test_rdma_$2"
    on 1 'tc -s qdisc show dev p2'
}
faulty 'loss 1%' rows
faulty 'delay 1ms reorder 99%' puts
on 1 'for i in 1 2; do tc qdisc del dev p$i root; done'
on 1 "$BUILD/tests/rdma/test_rdma_owner quit 127.0.0.1:4712"
wait "$owner"
on 1 -t 300 "TENSAIR_TEST_OWNER_DEVICE=rx3,rx4 TENSAIR_TEST_DEVICE=rx1,rx2 TENSAIR_TEST_KINDS='verbs by two rails' $BUILD/tests/rdma/test_rdma_puts"
