#!/usr/bin/env bash
# The pre-flight of a job: all is well; one node's link is slow and is marked; one node has a directory of its own.
. "$CLUSTER_TESTS/drill.sh"
srun -N 4 --ntasks-per-node=2 "$TENSAIR" doctor --slurm | tee well
grep -q 'tasks  *8 on 4 nodes: n1 n2 n3 n4 (by srun' well
grep -q 'locks  *all 4 nodes: flock holds' well
grep -q 'memlock  *all 4 nodes: ' well
grep -q '^ *n4 .* - $' well # the matrix ends with itself
! ls -A | grep doctor

[ "$CLUSTER_MODE" = namespaces ] || exit 0 # plain nodes have neither links nor mounts of their own
if tc qdisc add dev n3 root tbf rate 40mbit burst 64kb latency 50ms 2>/dev/null &&
    node n3 run tc qdisc add dev eth0 root tbf rate 40mbit burst 64kb latency 50ms; then
    srun -N 4 --ntasks-per-node=1 "$TENSAIR" doctor --slurm | tee slow
    grep -q 'note  *n3  *slower than the others' slow
    ! grep -q 'note  *n[124]  *slower' slow
    tc qdisc del dev n3 root
    node n3 run tc qdisc del dev eth0 root
else
    echo "no slow link: this kernel has no tbf"
fi

mkdir local
node n2 run mount -t tmpfs none "$WORK/local"
! srun -N 4 --ntasks-per-node=1 "$TENSAIR" doctor --slurm --quick --within 3 --run-dir "$WORK/local" >apart 2>&1
cat apart
grep -q '3 of 4 tasks came to .*/local within 3 s, not these: 1;' apart
grep -q 'n2: nothing of task 0 came to .*/local within 3 s' apart
