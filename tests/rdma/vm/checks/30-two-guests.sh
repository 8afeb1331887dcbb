# The conformance suite over verbs with the owner of the window on the other guest.
. "$VM_TESTS/guests.sh"
on 2 -t 900 "$BUILD/tests/rdma/test_rdma_owner 4711" &
owner=$!
for suite in rows peers paths; do
    on 1 -t 300 "TENSAIR_TEST_KINDS='verbs, two machines' TENSAIR_TEST_OWNER=node2:4711 $BUILD/tests/rdma/test_rdma_$suite"
done
on 1 "$BUILD/tests/rdma/test_rdma_owner quit node2:4711"
wait "$owner"
