"""Whole runs of exchange.type sync on the make-believe GPU: by NCCL where each replica has a GPU of its own, by the ring
where they share one, both as on CPUs; a replica that is killed; what cannot be."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ.get("SOURCE_DIR", "."), "tests", "run"))
try:
    import h5py
    import numpy as np
except ImportError as missing:
    print("SKIPPED:", missing)
    sys.exit(77)

from harness import Place, check, contains, finish, replicas_of  # noqa: E402

PLUGINS = os.path.join(os.environ.get("BUILD_DIR", "build"), "tests", "gpu", "fake")
SYNC = ("-n", "2", "--set", "exchange.type=sync")

MLP = """\
run: {seed: 7, max_records: 640}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: momentum, rate: 0.01, clip_norm: 1}
"""


def surroundings(options):
    return dict(os.environ, TENSAIR_PLUGINS=PLUGINS, TENSAIR_FAKE_GPU=options + ",strict=0")


def weights(place, run_dir):
    newest = place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1], "model.h5")
    found = {}
    with h5py.File(newest, "r") as f:
        f["model_weights"].visititems(lambda n, t: found.__setitem__(n, t[()]) if isinstance(t, h5py.Dataset) else None)
    return found


def log_of(place, run_dir):
    with open(place.at(run_dir, "log", "rank-00000.log")) as file:
        return file.read()


def beside_the_cpu():
    place = Place(MLP)
    place.train("--device", "cpu", *SYNC, run_dir="cpu")
    wanted = weights(place, "cpu")
    for run_dir, options, said in (("nccl", "devices=2", "sums by NCCL"), ("ring", "devices=1", "a GPU of its own")):
        place.train("--device", "cuda", *SYNC, run_dir=run_dir, env=surroundings(options))
        contains(log_of(place, run_dir), said)
        got = weights(place, run_dir)
        check(got.keys() == wanted.keys(), "other tensors")
        for name in wanted:
            gap = np.abs(got[name] - wanted[name]).max()
            check(gap <= 1e-3, f"{run_dir}: {name} is {gap} away")
        last = {r["rank"]: r["checksum"] for r in place.events("rest", run_dir)}
        check(len(last) == 2 and len(set(last.values())) == 1, f"{run_dir}: replicas disagree at rest: {last}")
    return place


def what_cannot_be(place):
    _, err = place.train("--device", "cuda", *SYNC, "--set", "exchange.collective=nccl", run_dir="refused", expect=2,
                         env=surroundings("devices=1"))
    contains(err, "--replicas-per-gpu")
    _, err = place.train("--device", "cpu", *SYNC, "--set", "exchange.collective=mpi", run_dir="unknown", expect=2)
    contains(err, "auto, nccl, ring")


def a_replica_is_killed():
    """The others give up what is under way, come together anew by a new id, go on and agree."""
    place = Place(MLP)
    run = place.start("--device", "cuda", *SYNC, "-n", "3", "--set", "run.max_records=3000000",
                      "--set", "run.max_seconds=3", env=surroundings("devices=3"))
    place.wait_for(lambda: place.training(3), run, what="training")
    os.kill(replicas_of(run.pid)[1], signal.SIGKILL)
    out, err = finish(run, 69)
    contains(out, "lost         1 of 3")
    rests = {}
    for event in place.events("rest"):
        rests.setdefault(event["text"].split(",")[0], set()).add(event["checksum"])
    check(rests and all(len(sums) == 1 for sums in rests.values()), f"survivors disagree: {rests}\n{err}")
    contains(log_of(place, "run"), "over 3 GPUs", "a ring of 2", "over 2 GPUs")


there = beside_the_cpu()
what_cannot_be(there)
a_replica_is_killed()
