"""Going on: with one replica bit for bit as if never stopped; with as many, exactly; with another number, all of the stream."""
import filecmp
import os
import re
import signal

import h5py
import numpy
from harness import CONFIG, Place, check, contains, finish


def weights(place, run_dir):
    """Everything in the newest checkpoint's model.h5, by name."""
    found = {}
    newest = place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1])
    with h5py.File(os.path.join(newest, "model.h5"), "r") as file:
        file.visititems(lambda name, thing: found.update({name: thing[()]}) if isinstance(thing, h5py.Dataset) else None)
    check(found, "model.h5 holds no dataset")
    return found


def same(a, b):
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def exact(extra, name, config=CONFIG):
    """run(A+B) == run(A), stop, resume, run(B)."""
    place = Place(config)
    place.train(*extra, "--set", "run.max_records=3200", run_dir="whole")
    place.train(*extra, "--set", "run.max_records=1280", run_dir="parts")
    half = weights(place, "parts")
    place.train(*extra, "--set", "run.max_records=3200", run_dir="parts")
    check(same(weights(place, "whole"), weights(place, "parts")), f"{name}: the resumed run is another one")
    check(not same(half, weights(place, "parts")), f"{name}: the second part has trained nothing")
    whole, parts = (place.metrics(d, "summary")[-1] for d in ("whole", "parts"))
    for key in ("records", "steps", "accuracy_all"):
        check(whole[key] == parts[key], f"{name}: {key} is {parts[key]}, not {whole[key]}")
    check({l["epoch"] for l in place.metrics("parts", "window")} == {1, 2}, f"{name}: lives")


def exact_all():
    exact([], "adam")
    exact(["--set", "optimizer.type=momentum", "--set", "optimizer.rate=0.05"], "momentum")
    exact(["--set", "pace.type=poisson", "--set", "pace.rate=20000"], "poisson")
    dropout = CONFIG.replace("    - {type: dense, units: 2", "    - {type: dropout, rate: 0.3}\n    - {type: dense, units: 2")
    exact([], "dropout", dropout.replace("adam, rate: 0.01", "sgd, rate: 0.05"))


def stopped():
    """The same when it is a signal that stops it, wherever it lands; stopped twice."""
    place = Place()
    place.train("--set", "run.max_records=160000", run_dir="whole")
    for i in range(3):
        process = place.start("--set", "run.max_records=160000", run_dir="parts")
        place.wait_for(lambda: place.training(1, "parts", i + 1) or process.poll() is not None, what="training")
        process.send_signal((signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)[i])
        out, _ = process.communicate(timeout=60)
        check(process.returncode in (0, 75), f"exit status {process.returncode}")
    place.train("--set", "run.max_records=160000", run_dir="parts")
    check(same(weights(place, "whole"), weights(place, "parts")), "a stopped run is another one")


def done_batches(place, run_dir):
    newest = place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1])
    done = set()
    for name in sorted(os.listdir(newest)):
        if not name.startswith("replica-"):
            continue
        with h5py.File(os.path.join(newest, name), "r") as file:
            base = int(numpy.asarray(file["stream/base"]).reshape(-1)[0])
            bits = numpy.asarray(file["stream/bits"]).reshape(-1)
            done.update(range(base))
            for word, value in enumerate(bits.astype(numpy.uint64)):
                done.update(base + 64 * word + b for b in range(64) if int(value) >> b & 1)
    return done


def another_number():
    """4, then 2, then 3 replicas: each record trained once, counted once."""
    place = Place()
    for life, (n, records) in enumerate(((4, 8000), (2, 16000), (3, 24000)), 1):
        place.train("-n", n, "--set", f"run.max_records={records}")
        summary = place.metrics(kind="summary")[-1]
        check(summary["records"] == records and summary["epoch"] == life, f"{n} replicas: {summary}")
        rests = [r for r in place.events("rest") if r["epoch"] == life]
        check({r["steps"] for r in rests} == {records // 16}, f"{n} replicas: steps {rests}")
        check(len({r["checksum"] for r in rests}) == 1 and len(rests) == n, f"{n} replicas at rest: {rests}")
        check(done_batches(place, "run") == set(range(records // 16)), f"{n} replicas: not every batch is done")
    check(place.metrics(kind="window")[-1]["accuracy_all"] > 0.7, "learned nothing")


def same_number():
    """4 and 4 replicas: the weights a life starts with are those the last one ended with."""
    place = Place()
    place.train("-n", 4, "--set", "run.max_records=8000")
    before = place.events("rest")[-1]["checksum"]
    place.train("-n", 4)  # nothing left to do: it comes to rest where it started
    rests = [r for r in place.events("rest") if r["epoch"] == 2]
    check({r["checksum"] for r in rests} == {before}, f"{before} became {rests}")


def where_from():
    place = Place()
    place.train("--set", "run.max_records=1600")
    first = place.at("run", "checkpoint", "000000100")
    _, err = place.train("--resume", "never", expect=2)
    contains(err, "--resume auto", "--run-dir")
    place.train("--set", "run.max_records=3200")
    place.train("--resume", first, "--set", "run.max_records=3200", run_dir="other")
    check(same(weights(place, "run"), weights(place, "other")), "going on in another run directory is another run")
    _, err = place.train("--resume", place.at("nowhere"), expect=74, run_dir="third")
    contains(err, "nowhere")
    _, err = place.train("--set", "stream.batch=32", expect=2)
    contains(err, "stream.batch", "16", "32")
    _, err = place.train("--set", "model.layers[0].units=17", "--set", "run.max_records=9000", expect=2)
    check(re.search("fingerprint|model", err) is not None, err)
    check(filecmp.cmp(os.path.join(first, "DONE"), os.path.join(first, "DONE")), "the old checkpoint is still there")


def damaged():
    """A newest checkpoint that is broken is skipped for the one before, with a line that says so."""
    place = Place()
    place.train("--set", "run.max_records=1600")
    place.train("--set", "run.max_records=3200")
    newest = place.at("run", "checkpoint", "000000200")
    path = os.path.join(newest, "replica-00000.h5")
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)
    _, err = place.train("--set", "run.max_records=4800")
    contains(err, "000000200")
    starts = place.events("start")
    check("1600 records so far" in starts[-1]["text"], starts[-1]["text"])


for test in (exact_all, stopped, another_number, same_number, where_from, damaged):
    test()
    print("passed:", test.__name__)
