# What only verbs can be asked: keys of strangers, forged keys, choices, failures, words.
. "$VM_TESTS/guests.sh"
on 1 -t 300 "$BUILD/tests/rdma/test_rdma_verbs_safety" &
safety=$!
on 2 -t 300 "TENSAIR_TEST_LINK=eth0 $BUILD/tests/rdma/test_rdma_verbs"
wait "$safety"
