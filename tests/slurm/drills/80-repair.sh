#!/usr/bin/env bash
# A node loses its power while another one is in reserve: the batch script starts a replica there, which joins the run,
# takes over what the lost one had not trained, and agrees with all at the end.
. "$CLUSTER_TESTS/drill.sh"
job=$(TENSAIR_RESERVE=1 queue repaired --nodes=4 -- -n 3 "${QUICK[@]}" --set run.max_records=96000)
look repaired training 3
from=$(clock)
node n2 crash
look repaired lost 3 "$from" "$(clock)" 1 0,2
ends "$job" FAILED 69
look repaired agree 1 0 2 3
look repaired trained 1 96000
cleared repaired
