# Puts beside perftest's programs in one guest; every byte right between two.
. "$VM_TESTS/guests.sh"
on 1 -t 300 '$TENSAIR bench window --perftest --sizes 64,1M --seconds 0.5'
on 2 -t 60 '$TENSAIR bench window --listen 4713' &
answerer=$!
on 1 -t 60 '$TENSAIR bench window --connect node2:4713 --transport verbs --sizes 64,64K,1M --seconds 0.1 --verify' | tee "$VM/bench"
wait "$answerer"
[ "$(grep -c 'every byte right' "$VM/bench")" = 3 ]
