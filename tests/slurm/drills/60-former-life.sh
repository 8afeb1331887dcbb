#!/usr/bin/env bash
# A node stands still and is given up by Slurm, which requeues the job; then it comes back, with the tasks of the
# former life on it. They neither join the new one, nor write where it writes, nor touch a checkpoint; they end when
# they see it.
. "$CLUSTER_TESTS/drill.sh"
node=n2
job=$(sbatch --parsable --nodes=3 "$(KILL=" " batch former --set checkpoint.every_seconds=1 "${QUICK[@]}" \
    --set 'run.max_records=$((SLURM_RESTART_COUNT ? 96000 : 2000000000))' \
    --set 'pace.rate=$((SLURM_RESTART_COUNT ? 16000 : 1000))')")
look former training 3
mapfile -t zombies < <(node "$node" tasks)
echo "left behind on $node: ${zombies[*]}"
[ ${#zombies[@]} -ge 2 ] # a launcher and a replica
node "$node" stop
kill -STOP "${zombies[@]}"
until_true 120 is_field "$job" Restarts 1
look former training 3 2
began=$(date -u +%FT%T.%3NZ)
kill -CONT "${zombies[@]}"
until_true 20 no_tasks "$node"
ends "$job" COMPLETED
look former agree 2 0 1 2
look former trained 2 96000
# Once the new life trained, the former one came to no rest and told no end.
look former tell "[r for r in records if r['epoch'] == 1 and r['wall'] > '$began' and
    (r.get('event') == 'rest' or r['kind'] == 'summary')]" | tee late
[ "$(cat late)" = "" ]
grep -qx 'restart 1' former/incarnation
cleared former
