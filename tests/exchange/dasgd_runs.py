"""The paper's protocol as real processes: stopped, gone on with by as many, by another number, with another exchange;
a replica killed; what it refuses."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "run"))

import h5py
import harness
import numpy
from harness import TENSAIR, Place, check, contains, replicas_of

DASGD = ["--set", "exchange.type=dasgd", "--set", "exchange.gradients_per_push=2"]


def newest(place):
    return place.at("run", "checkpoint", place.checkpoints()[-1])


def model_of(checkpoint):
    found = {}
    with h5py.File(os.path.join(checkpoint, "model.h5"), "r") as file:
        file.visititems(lambda name, x: found.update({name: x[()]}) if isinstance(x, h5py.Dataset) else None)
    return found


def registers_add_up(checkpoint):
    """w0 + the registers of all, as in a checkpoint of any exchange, though replicas with Adam have drifted apart."""
    names = sorted(n for n in os.listdir(checkpoint) if n.startswith("replica-"))
    with h5py.File(os.path.join(checkpoint, names[0]), "r") as file:
        w0, first = file["w0"][()], file["delta"][()]
    check(numpy.abs(first).max() > 0, "no update was made")
    for name in names[1:]:
        with h5py.File(os.path.join(checkpoint, name), "r") as file:
            check((file["delta"][()] == 0).all(), f"{name}: the register of a higher rank is not zero")
    w = numpy.sort((w0 + first)[(w0 + first) != 0])
    saved = numpy.concatenate([numpy.ravel(v) for v in model_of(checkpoint).values() if v.dtype == numpy.float32])
    check(numpy.isin(saved[saved != 0], w).all(), "model.h5 is not w0 + the registers")


def stopped():
    place = Place()
    process = place.start(*DASGD, "-n", 2, "--set", "run.max_records=3000000")
    place.wait_for(lambda: place.training(2), process, what="training")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    check(process.returncode == 75, f"exit status {process.returncode}\n{out}\n{err}")
    registers_add_up(newest(place))
    half = place.metrics(kind="summary")[-1]["records"]
    before = model_of(newest(place))
    live = ("-n", 3, "--set", "exchange.type=live")
    for records, more in ((0, ("-n", 2)), (4000, ("-n", 2)), (8000, ("-n", 3)), (12000, live)):
        place.train(*DASGD, *more, "--set", f"run.max_records={half + records}")
        summary = place.metrics(kind="summary")[-1]
        check(summary["records"] == half + records, f"{more}: {summary['records']} of {half + records} records")
        if records > 0:
            continue
        after = model_of(newest(place))
        check(all((after[n] == before[n]).all() for n in before), "nothing was trained, but the weights are others")
    check(summary["accuracy"] > 0.7, json.dumps(summary))
    done = subprocess.run([TENSAIR, "ckpt", "verify", newest(place)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    check(done.returncode == 0, done.stdout)


def killed():
    """The others go on, and save what they have."""
    place = Place()
    process = place.start(*DASGD, "-n", 3, "--set", "run.max_records=3000000", "--set", "run.max_seconds=2",
                          "--set", "exchange.max_staleness=4")
    place.wait_for(lambda: place.training(3), process, what="training")
    os.kill(replicas_of(process.pid)[0], signal.SIGKILL)
    out, _ = harness.finish(process, 69)
    contains(out, "lost         1 of 3")
    registers_add_up(newest(place))


def refused():
    place = Place()
    for key, word in (("exchange.damping=delay-compensated", "delay-compensated"), ("run.spares=1", "spares"),
                      ("exchange.slots=2000", "slots"), ("exchange.topology=tree", "topology")):
        _, err = place.train(*DASGD, "--set", key, "-n", 2, expect=2)
        contains(err, word)


stopped()
killed()
refused()
