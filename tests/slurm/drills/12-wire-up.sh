#!/usr/bin/env bash
# Tasks find each other however they are started: by srun with PMI or without, dealt evenly or not, by other launchers inside an
# allocation; and a batch script alone is one replica.
. "$CLUSTER_TESTS/drill.sh"
whole() { # NAME REPLICAS: it trained all of the stream, with so many
    [ "$(look "$1" tell '[r["records"] for r in records if r["kind"] == "summary"]')" = 32000 ]
    [ "$(look "$1" tell '[len([r for r in records if r["kind"] == "event" and r["event"] == "start"])]')" = "$2" ]
    cleared "$1"
}
train=("$TENSAIR" train run.yaml --quiet --set pace.rate=64000)
for mpi in none pmi2 pmix; do
    srun --mpi=list 2>&1 | grep -qw "$mpi" || { echo "left out: this Slurm has no $mpi" && continue; }
    srun -N2 --ntasks-per-node=2 --mpi="$mpi" "${train[@]}" --run-dir "$WORK/by-$mpi" >"by-$mpi.out" 2>&1
    whole "by-$mpi" 4
    ! grep -q 'PMI' "by-$mpi.out"
done
# Three tasks on two nodes: not in equal blocks, so that all of them use the network, and say so.
srun -N2 -n3 --mpi=none "${train[@]}" --run-dir "$WORK/uneven" >uneven.out 2>&1
whole uneven 3
cat >launchers.sbatch <<SCRIPT
#!/usr/bin/env bash
#SBATCH --nodes=2 --ntasks-per-node=2 --output=$WORK/launchers.out
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
set -e
! command -v mpirun >/dev/null || mpirun ${train[*]} --run-dir $WORK/mpirun
! command -v mpiexec.hydra >/dev/null || mpiexec.hydra ${train[*]} --run-dir $WORK/hydra
${train[*]}
SCRIPT
job=$(sbatch --parsable launchers.sbatch)
ends "$job" COMPLETED
! command -v mpirun >/dev/null || whole mpirun 4
! command -v mpiexec.hydra >/dev/null || whole hydra 4
whole "runs/run-$job" 1
