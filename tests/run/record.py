"""A run of processes that is recorded, and repeated bit for bit by one: whole, stopped, resumed, with drops, with a loss."""
import os
import signal
import time

import h5py
import numpy

from harness import Place, check, contains, finish, replicas_of

CONFIG = """\
run: {seed: 7, max_records: 9600}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: batch_norm}
    - {type: dropout, rate: 0.2}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
"""
LONG = ("--set", "run.max_records=2000000000")


def arrays(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def same_weights(place, one, other):
    names = place.checkpoints(one)
    check(names and names[-1] in place.checkpoints(other), f"{names} and {place.checkpoints(other)}")
    for file in ("model.h5", "replica-00000.h5", "replica-00002.h5"):
        a, b = (arrays(place.at(run, "checkpoint", names[-1], file)) for run in (one, other))
        check(a.keys() == b.keys(), f"{file}: {a.keys()} and {b.keys()}")
        for name in a:
            if name.startswith(("model_weights", "delta", "m", "v", "w0")):
                check(numpy.array_equal(a[name], b[name]), f"{file} of {names[-1]}: {name} differs")


def replay(place, *arguments, folder="rec", run_dir="again", expect=0):
    return place.train("--replay", place.at(folder), *arguments, run_dir=run_dir, expect=expect)


def rests(place, run_dir):
    return {(e["text"].split(",")[0], e["rank"], e["checksum"]) for e in place.events("rest", run_dir)}


def whole():
    place = Place(CONFIG)
    out, _ = place.train("-n", 3, "--record", place.at("rec"), "--set", "checkpoint.every_records=3000")
    contains(out, "recording    ", " % of the time, ", " kB per replica")
    summary = place.metrics(kind="summary")[0]
    check(summary["recorded_bytes"] == sum(os.path.getsize(place.at("rec", n)) for n in os.listdir(place.at("rec"))),
          "the recording's bytes are not those of its files")
    out, _ = replay(place, "--set", "checkpoint.every_records=3000")
    contains(out, "replayed     600 steps of 3 replicas; ", "all equal")
    check(rests(place, "run") == rests(place, "again"), f"{rests(place, 'run')}\n{rests(place, 'again')}")
    same_weights(place, "run", "again")
    until(place)
    refused(place)


def until(place):
    more = ("--set", "checkpoint.every_records=3000")
    out, _ = replay(place, "--until", "1:100", *more, run_dir="until")
    contains(out, "step         100 of rank 1", "gradient     norm ", "loss         ")
    check(arrays(place.at("until", "until", "model.h5")), "no weights were written")
    once = [line for line in out.splitlines() if not line.startswith(("run", "weights", "memory", "replayed"))]
    out, _ = replay(place, "--until", "1:100", *more, run_dir="until2")
    twice = [line for line in out.splitlines() if not line.startswith(("run", "weights", "memory", "replayed"))]
    check(once == twice, f"{once}\n{twice}")
    _, err = replay(place, "--until", "1:100000", *more, run_dir="until3", expect=2)
    contains(err, "rank 1 has recorded steps 1 to ")
    _, err = replay(place, "--until", "seven", *more, run_dir="until3", expect=2)
    contains(err, "RANK:STEP")


def refused(place):
    more = ("--set", "checkpoint.every_records=3000")
    _, err = replay(place, "--set", "optimizer.rate=0.02", *more, run_dir="other", expect=2)
    contains(err, "another configuration", "0.01", "0.02")
    _, err = replay(place, *more, run_dir="run", expect=2)
    contains(err, "there is a run in it")
    _, err = replay(place, *more, folder="nowhere", expect=74)
    contains(err, "nowhere")
    name = place.at("rec", "life-0001-rank-00001.record")
    with open(name, "rb") as file:
        good = file.read()
    bad = bytearray(good)
    bad[len(good) - 40] ^= 1
    with open(name, "wb") as file:
        file.write(bad)
    _, err = replay(place, *more, run_dir="damaged", expect=74)
    contains(err, name, "damaged")
    with open(name, "wb") as file:
        file.write(good[:-300])
    out, _ = replay(place, *more, run_dir="cut")
    contains(out, "ends early   rank 1: its recording ends at step ", ", before its run did", "ends early   rank 0: st")
    for keys in (("exchange.max_staleness=3",), ("run.spares=1",), ("online.mode=auto", "online.detector.type=adwin")):
        _, err = place.train("-n", 2, "--record", place.at("no"), *[a for k in keys for a in ("--set", k)], run_dir="no", expect=2)
        contains(err, "--record", keys[0].split("=")[0])


def stopped_and_resumed():
    place = Place(CONFIG)
    process = place.start("-n", 3, "--record", place.at("rec"), *LONG)
    place.wait_for(lambda: place.training(3), process, what="training")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    finish(process, 75)
    out, _ = replay(place, *LONG)
    contains(out, "all equal")
    check("ends early" not in out, out)
    check(rests(place, "run") == rests(place, "again"), "the first life")
    same_weights(place, "run", "again")
    place.train("-n", 3, "--record", place.at("rec"), "--set", "run.max_seconds=0.3", *LONG)
    replay(place, "--set", "run.max_seconds=0.3", *LONG, run_dir="later")
    check(rests(place, "later") <= rests(place, "run"), "the second life")
    same_weights(place, "run", "later")


def with_drops():
    """Later than it may be from the start; updates damped by a staleness that nobody knows beforehand."""
    place = Place(CONFIG)
    keys = ("--set", "pace.type=constant", "--set", "pace.rate=3000000", "--set", "stream.on_overload=drop",
            "--set", "stream.max_lag=0.02", "--set", "run.max_records=600000", "--set", "exchange.damping=inverse")
    place.train("-n", 3, "--record", place.at("rec"), *keys)
    check(place.metrics(kind="summary")[0]["dropped"] > 0, "nothing was dropped: the test shows nothing")
    out, _ = replay(place, *keys)
    contains(out, "all equal")
    check("ends early" not in out, out)
    check(rests(place, "run") == rests(place, "again"), f"{rests(place, 'run')}\n{rests(place, 'again')}")


def with_a_loss():
    place = Place(CONFIG)
    process = place.start("-n", 3, "--record", place.at("rec"), *LONG)
    place.wait_for(lambda: place.training(3), process, what="training")
    time.sleep(0.3)
    os.kill(replicas_of(process.pid)[1], signal.SIGKILL)
    place.wait_for(lambda: place.events("peer_lost"), process, what="the loss is noticed")
    process.send_signal(signal.SIGTERM)
    finish(process, 69)
    out, _ = replay(place, *LONG)
    contains(out, "ends early   rank 1: ", "as rank 1 was lost", "all equal")
    steps = int(out.split("replayed     ")[1].split()[0])
    check(steps > 100, out)


whole()
stopped_and_resumed()
with_drops()
with_a_loss()
