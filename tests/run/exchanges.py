"""Every kind of exchange as real processes: a run that ends, goes on and is stopped; the same weights where nothing is
stale."""
import json
import os
import signal
import subprocess

import h5py
import harness
import numpy
from harness import TENSAIR, Place, check, contains, replicas_of

CONFIG = """\
run: {seed: 7, max_records: 9600}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: sgd, rate: 0.01}
"""
DRIFT = """\
run: {seed: 7}
stream:
  generator: "sea:noise=0.05"
  records: 32000
  batch: 16
  inject_drift: [{type: rotate, at: 12000}]
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
pace: {type: constant, rate: 20000}
metrics: {window: 500, every_records: 500}
online:
  watch: error
  detector: {type: ddm}
  answers: [{type: reset_head}, {type: raise_rate, factor: 2, records: 2000}]
"""
BATCH, HALF, WHOLE = 16, 9600, 19200  # both are so many batches for each of 2 and of 3 replicas

LOCK_STEP = {
    "sync": ["exchange.type=sync"],
    "live at staleness 0": ["exchange.type=live", "exchange.max_staleness=0"],
    "dasgd at staleness 0": ["exchange.type=dasgd", "exchange.max_staleness=0"],
}
FREE = {
    "live": ["exchange.type=live"],
    "dasgd": ["exchange.type=dasgd"],
    "live in a tree": ["exchange.type=live", "exchange.topology=tree"],
}


def options(keys):
    return [word for key in keys for word in ("--set", key)]


def built(keys):
    """Whether this program has it; another refusal than that is a failure of the run."""
    place = Place(CONFIG)
    done = subprocess.run([TENSAIR, "train", place.at("run.yaml"), "--quiet", "--run-dir", place.at("probe"), "-n", "1",
                           "--set", "run.max_records=16"] + options(keys), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    return done.returncode == 0 or "is not in this program" not in done.stderr


def newest(place, run_dir):
    return place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1])


def weights(place, run_dir):
    found = []
    with h5py.File(os.path.join(newest(place, run_dir), "model.h5"), "r") as file:
        file.visititems(lambda _, thing: found.append(thing[()].ravel()) if isinstance(thing, h5py.Dataset) else None)
    return numpy.concatenate([numpy.asarray(f, dtype=numpy.float64) for f in found])


def lives(name, keys, replicas):
    """Half of it, then the rest, as one run: all is trained once, and saved so that it can be verified."""
    place = Place(CONFIG)
    many = options(keys) + ["-n", replicas]
    place.train(*many)
    half = place.metrics(kind="summary")[-1]
    check(half["records"] == half["trained"] == HALF, f"{name}: {half}")
    place.train(*many, "--set", f"run.max_records={WHOLE}")
    whole = place.metrics(kind="summary")[-1]
    check(whole["replicas"] == replicas and whole["exit_code"] == 0 and whole["lost"] == 0, f"{name}: {whole}")
    check(whole["records"] == WHOLE, f"{name}: {whole['records']} records, not {WHOLE}")
    check(sum(life["trained"] for life in (half, whole)) >= WHOLE, f"{name}: {half}, {whole}")
    check(whole["accuracy"] > 0.7, f"{name}: accuracy {whole['accuracy']}")
    shown = subprocess.run([TENSAIR, "ckpt", "verify", newest(place, "run")], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=60)
    check(shown.returncode == 0, f"{name}: {shown.stdout}")
    return weights(place, "run"), whole


def all_live():
    for name, keys in FREE.items():
        if not built(keys):
            print(f"{name} is not built: left out")
            continue
        replicas = 3 if "tree" in name else 2
        _, summary = lives(name, keys, replicas)
        gradients = sum(count for _, count in summary["staleness"])
        times = replicas - 1 if name == "dasgd" else 1
        check(gradients == times * HALF // BATCH, f"{name}: {gradients} gradients of {HALF // BATCH} were counted")


def all_the_same():
    """Plain descent on the sum of as many gradients of the same weights: the same model, whoever carries them."""
    for replicas in (2, 3):
        models = {name: lives(name, keys, replicas) for name, keys in LOCK_STEP.items() if built(keys)}
        check("sync" in models, "sync is not built")
        for name, (model, summary) in models.items():
            apart = numpy.abs(model - models["sync"][0]).max()
            check(apart < 1e-5, f"{name}: {replicas} replicas are {apart} apart from sync")
        for name, (_, summary) in models.items():
            check(summary["s_avg"] == summary["s_max"] == 0, f"{name}: {summary['s_avg']}, at most {summary['s_max']}")
            gradients = sum(count for _, count in summary["staleness"])
            times = replicas - 1 if "dasgd" in name else 1  # by each that it comes to
            check(gradients == times * HALF // BATCH, f"{name}: {gradients} gradients of {HALF // BATCH} were counted")
        check(len(models) == len(LOCK_STEP) or not all(built(k) for k in LOCK_STEP.values()), "left out")


def stopped():
    """By a signal, in the midst of a reduction or not; gone on with by as many, exactly, and by another number."""
    place = Place(CONFIG.replace("sgd, rate: 0.01", "adam, rate: 0.001"))
    many = options(LOCK_STEP["sync"])
    place.train(*many, "-n", 2, "--set", "run.max_records=32000", run_dir="whole")
    process = place.start(*many, "-n", 2, "--set", "run.max_records=32000")
    place.wait_for(lambda: place.training(2), process, what="training")
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=60)
    check(process.returncode in (0, 75), f"exit status {process.returncode}\n{out}\n{err}")
    place.train(*many, "-n", 2, "--set", "run.max_records=32000")
    check((weights(place, "run") == weights(place, "whole")).all(), "a stopped run is another one")
    place.train(*many, "-n", 3, "--set", "run.max_records=35200")
    place.train("-n", 3, "--set", "exchange.type=live", "--set", "run.max_records=36800")
    check(place.metrics(kind="summary")[-1]["records"] == 36800, "the stream was not trained to its end")


def moments(place, rank):
    with h5py.File(os.path.join(newest(place, "run"), f"replica-{rank:05}.h5"), "r") as file:
        found = {}
        file.visititems(lambda name, it: found.update({name: it[()]}) if isinstance(it, h5py.Dataset) else None)
        return {name: found[name] for name in found if name.split("/")[-1] in ("m", "v")}, file.attrs["optimizer_step"]


def taken_from_another():
    """Moments that differ by rank would make other updates of the same sum: all go on with the lowest rank's."""
    for kind in ("live", "dasgd"):
        for replicas in (2, 3):
            place = Place(CONFIG.replace("sgd, rate: 0.01", "adam, rate: 0.001"))
            place.train(*options(FREE[kind]), "-n", 2)
            (first, _), (second, _) = moments(place, 0), moments(place, 1)
            check(len(first) == 2, f"{kind}: {list(first)}")
            check(any((first[name] != second[name]).any() for name in first), f"{kind}: the same moments in both")
            place.train(*options(LOCK_STEP["sync"]), "-n", replicas, "--set", f"run.max_records={WHOLE}")
            logs = [open(place.at("run", "log", f"rank-{rank:05}.log")).read() for rank in range(replicas)]
            contains(logs[1], "with exchange.type sync all go on with that of rank 0")
            check("all go on with" not in logs[0], f"the lowest rank is warned of its own moments: {logs[0]}")
            rests = [event["checksum"] for event in place.events("rest")][-replicas:]
            check(len(set(rests)) == 1, f"{kind} to sync: {rests}")
            (first, steps), (last, its) = moments(place, 0), moments(place, replicas - 1)
            same = all((first[name] == last[name]).all() for name in first)
            check(steps == its and same, f"{kind} to sync: other moments")


def killed():
    """The others form the ring anew, go on and agree."""
    place = Place(CONFIG)
    process = place.start(*options(LOCK_STEP["sync"] + ["run.max_records=3000000", "run.max_seconds=2"]), "-n", 3)
    place.wait_for(lambda: place.training(3), process, what="training")
    os.kill(replicas_of(process.pid)[1], signal.SIGKILL)
    out, err = harness.finish(process, 69)
    contains(out, "lost         1 of 3")
    rests = {}
    for event in place.events("rest"):
        rests.setdefault(event["text"].split(",")[0], set()).add(event["checksum"])
    check(rests and all(len(sums) == 1 for sums in rests.values()), f"survivors disagree: {rests}\n{err}")
    contains(open(place.at("run", "log", "rank-00000.log")).read(), "a ring of 2")


def uneven():
    """Shares that end at other times, and batches that are not full."""
    place = Place(CONFIG)
    place.train(*options(LOCK_STEP["sync"]), "-n", 3, "--set", "run.max_records=1000")
    summary = place.metrics(kind="summary")[-1]
    check(summary["records"] == summary["trained"] == 1000, json.dumps(summary))


def drift():
    """Of dasgd every replica's weights are its own until the rest: each starts its head anew, and all come back."""
    place = Place(DRIFT)
    place.train(*options(FREE["dasgd"]), "-n", 2)
    windows = place.metrics(kind="window")
    for rank in (0, 1):
        own = [w for w in windows if w["rank"] == rank]
        check([e for e in place.events("mode") if e["rank"] == rank], f"rank {rank} has heard of no drift")
        low = min(w["accuracy"] for w in own if 6000 < w["records"] < 8000)
        end = own[-1]["accuracy"]
        check(low < 0.83 and end > 0.85, f"rank {rank}: accuracy fell to {low} and came back to {end}")
    summary = place.metrics(kind="summary")[-1]
    check(summary["trained"] == summary["records"] == 32000 and summary["drift"]["found"] == 1, json.dumps(summary))


def refused():
    place = Place(CONFIG)
    for key in ("exchange.max_staleness=2", "exchange.damping=inverse", "exchange.puts_in_flight=2", "run.spares=1",
                "online.label_delay=10", "online.mode=auto", "online.answers[0].type=reset_head",
                "online.answers[0].type=rehearse"):
        keys = LOCK_STEP["sync"] + ["online.detector.type=ddm", key]
        _, err = place.train(*options(keys), "-n", 2, expect=2)
        contains(err, key.split("=")[0].split("[")[0], "sync")
    for kind in ("live at staleness 0", "dasgd at staleness 0"):
        for key in ("online.label_delay=10", "online.answers[0].type=rehearse"):
            keys = LOCK_STEP[kind] + ["online.detector.type=ddm", key]
            _, err = place.train(*options(keys), "-n", 2, expect=2)
            contains(err, key.split("=")[0].split("[")[0], "max_staleness")


def without_labels():
    """A batch without labels is one skipped step, so that nobody waits for it; unbounded it is none."""
    place = Place(CONFIG)
    rng = numpy.random.default_rng(1)
    with h5py.File(place.at("s.h5"), "w") as file:
        file["x"], file["y"] = rng.random((3200, 3), numpy.float32), rng.integers(0, 2, 3200, numpy.int32)
        file["y"][:1600] = -1
        file.attrs.update(format="tensair-stream", version=1, records=3200, classes=2, scale=1.0)
    stream = options(["stream.generator=", f"stream.file={place.at('s.h5')}", "run.max_records=0"]) + ["-n", 2]
    for keys, wanted in ((LOCK_STEP["live at staleness 0"], 100), (LOCK_STEP["sync"], 50), (FREE["live"], 50)):
        run = f"of{len(keys)}{keys[0][-4:]}"
        place.train(*options(keys), *stream, run_dir=run)
        steps = {w["rank"]: w["steps"] for w in place.metrics(run, "window")}
        check(steps == {0: wanted, 1: wanted}, f"{keys}: {steps}, not {wanted} each: half of 100 batches had no labels")


def late_in_lock_step():
    """Delays stand in the stream, or in a checkpoint: known when a run begins, not at its second step."""
    place = Place(CONFIG)
    rng = numpy.random.default_rng(1)
    with h5py.File(place.at("s.h5"), "w") as file:
        file["x"], file["y"] = rng.random((4000, 3), numpy.float32), rng.integers(0, 2, 4000, numpy.int32)
        file["label_delay"] = rng.integers(0, 500, 4000)
        file.attrs.update(format="tensair-stream", version=1, records=4000, classes=2, scale=1.0)
    late = options(["stream.generator=", f"stream.file={place.at('s.h5')}", "run.max_records=0"]) + ["-n", 2]
    for name, keys in LOCK_STEP.items():
        _, err = place.train(*options(keys), *late, run_dir="none", expect=2)
        contains(err, "/label_delay", "come late")
        check(not place.metrics("none", "window"), f"{name}: it was training")
    place.train("-n", 2, "--set", "online.label_delay=700")
    _, err = place.train(*options(LOCK_STEP["sync"]), "-n", 2, "--set", f"run.max_records={WHOLE}", expect=2)
    contains(err, "the checkpoint waits for")


all_the_same()
all_live()
stopped()
taken_from_another()
killed()
uneven()
drift()
without_labels()
late_in_lock_step()
refused()
