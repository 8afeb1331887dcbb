# The conformance suite over verbs within a guest: both sides in one process, and in two.
. "$VM_TESTS/guests.sh"
for suite in puts rows peers paths; do
    on 1 -t 600 "TENSAIR_TEST_KINDS='verbs, ' $BUILD/tests/rdma/test_rdma_$suite"
done
