# run_common.sh: sourced by the programs that measure whole runs. `ta_summary KEY RUN_DIR` prints a field of a run's summary;
# `ta_median` the median of the numbers it reads.
. experiments/common.sh
ta_setup >&2

ta_summary() {
    /usr/bin/python3 - "$1" "$2/metrics.jsonl" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[2])]
print([line for line in lines if line["kind"] == "summary"][-1][sys.argv[1]])
PYTHON
}

ta_median() { sort -g | awk '{a[NR] = $1} END {print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2}'; }

# A stream of CIFAR-10's shape: the pictures when they are there, else noise with labels (the arithmetic is the same).
ta_stream_cifar10_shape() {
    ta_stream_cifar10 2>/dev/null && return 0
    local stream=experiments/data/cifar10-noise.h5
    [ -f $stream ] || /usr/bin/python3 - $stream <<'PYTHON'
import sys, h5py, numpy
rng = numpy.random.default_rng(1)
with h5py.File(sys.argv[1], "w") as file:
    file["x"] = rng.integers(0, 256, (8000, 32, 32, 3), dtype="u1")
    file["y"] = numpy.concatenate([numpy.arange(10), rng.integers(0, 10, 7990)]).astype("i4")
PYTHON
    echo $stream
}
