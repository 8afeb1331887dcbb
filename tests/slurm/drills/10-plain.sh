#!/usr/bin/env bash
# Four replicas on four nodes, by sbatch: they end well, agree, and have trained all of it.
. "$CLUSTER_TESTS/drill.sh"
job=$(sbatch --parsable "$(batch plain)")
ends "$job" COMPLETED
look plain agree 1 0 1 2 3
look plain trained 1 32000
[ "$(look plain tell '[r["records"] for r in records if r["kind"] == "summary"]')" = 32000 ]
cleared plain
