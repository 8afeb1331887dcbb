# The plugin of srun: its options are there, refused at once where they are wrong, and reach `tensair train`.
# shellcheck shell=bash source=../cluster/drill.sh
. "$CLUSTER_TESTS/drill.sh"
plugin=$BUILD/slurm/spank_tensair.so
[ -e "$plugin" ] || { echo "SKIPPED: $plugin was not built: slurm/spank.h is missing (Debian: libslurm-dev)"; exit 77; }
echo "optional $plugin" >"$CLUSTER/plugstack.conf"
trap 'rm -f "$CLUSTER/plugstack.conf"; tell_all' EXIT

srun --help | grep -- '--tensair-run-dir=DIR' >/dev/null
for wrong in run-dir=relative transport=pigeon log-level=loud run-dir=; do
    if said=$(srun -n1 "--tensair-$wrong" true 2>&1); then echo "accepted: $wrong: $said"; exit 1; fi
    echo "$said" | grep tensair
done
[ "$(srun -n2 -N2 --tensair-transport=ofi --tensair-run-dir=/a/b bash -c 'echo "$TENSAIR_TRANSPORT $TENSAIR_RUN_DIR"' | sort -u)" = "ofi /a/b" ]
[ "$(srun -n1 bash -c 'echo "${TENSAIR_TRANSPORT-unset}"')" = unset ]
srun -N2 -n2 --tensair-run-dir="$WORK/spank" --tensair-log-level=info "$TENSAIR" train run.yaml --quiet --set run.max_records=4000 >out 2>err
grep -q 'level: info' spank/config.yaml
[ "$("$TENSAIR" report spank --exit-code)" = 0 ]
