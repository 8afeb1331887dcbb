"""Serving a checkpoint: predictions beside NumPy's, streams without labels, stopping and going on, weights to begin with,
what does not fit; and all predictions of a run in one file, while it grows."""
import os
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np

from harness import CONFIG, TENSAIR, Place, check, contains, fail, finish, one_line

TRAIN = CONFIG.replace("{generator: sea, batch: 16}", "{file: old.h5, batch: 16}")


def stream(place, name, records, seed, width=3, labels="class", classes=2):
    rng = np.random.default_rng(seed)
    x = rng.random((records, width), np.float32)
    y = (x[:, 0] + x[:, 1] > 1).astype(np.int32)
    with h5py.File(place.at(name), "w") as f:
        f["x"] = x
        f.attrs.update(format="tensair-stream", version=1, records=records, scale=1.0)
        if labels == "class":
            f["y"] = y
            f.attrs["classes"] = classes
    return x, y


def trained(replicas=2):
    place = Place(TRAIN)
    stream(place, "old.h5", 4000, 1)
    place.train("-n", replicas)
    return place


def predict(place, model, *arguments, expect=0, run_dir="served", timeout=60):
    command = [TENSAIR, "predict", place.at(model), *[str(a) for a in arguments], "--quiet"]
    if run_dir is not None:
        command += ["--run-dir", place.at(run_dir)]
    done = subprocess.run(command, cwd=place.path, timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != expect:
        fail(f"predict {arguments}: exit status {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
    return done.stdout, done.stderr


def forward(place, x, run_dir="run"):
    """The network of CONFIG, by NumPy, with the newest checkpoint's weights."""
    newest = place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1], "model.h5")
    with h5py.File(newest, "r") as f:
        tensors = []
        f["model_weights"].visititems(lambda n, t: tensors.append((n, t[()])) if isinstance(t, h5py.Dataset) else None)
    weights = {n.split("/")[0] + n.split("/")[-1]: t for n, t in tensors}
    hidden = np.maximum(x @ weights["densekernel:0"] + weights["densebias:0"], 0)
    z = hidden @ weights["dense_1kernel:0"] + weights["dense_1bias:0"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def read(path):
    with h5py.File(path, "r") as f:
        return {name: f[name][()] for name in f if isinstance(f[name], h5py.Dataset)}


def serve():
    """By one and by three replicas what NumPy says, each record once, scored as counted here."""
    place = trained()
    x, y = stream(place, "new.h5", 3001, 2)
    p = forward(place, x)
    steps = int(place.checkpoints()[-1])
    for n in (1, 3):
        out, _ = predict(place, "run", "--stream", place.at("new.h5"), "-n", n, "-o", place.at(f"all{n}.h5"), run_dir=f"s{n}")
        got = read(place.at(f"all{n}.h5"))
        check((got["record"] == np.arange(3001)).all() and (got["label"] == y).all(), "each record once, with its label")
        check(np.allclose(got["confidence"], p.max(axis=1), atol=1e-5), "outputs are not NumPy's")
        sure = np.abs(p[:, 0] - 0.5) > 1e-4
        check((got["prediction"] == p.argmax(axis=1))[sure].all() and sure.mean() > 0.99, "classes are not NumPy's")
        check((got["version"] == steps).all() and (got["answered_ns"] >= 0).all() and set(got["replica"]) == set(range(n)),
              "version, time, replica")
        hits = (got["prediction"] == y).mean()
        contains(out, f"accuracy     {100 * hits:.2f} % prequential", "predictions  ")
        end = place.metrics(f"s{n}", "summary")[0]
        check(end["steps"] == 0 and end["records"] == 3001, f"{end}")
    checkpoint = os.path.join("run", "checkpoint", place.checkpoints()[-1])
    predict(place, checkpoint, "--stream", place.at("new.h5"), "--rate", 30000, "-o", place.at("paced.h5"), run_dir="paced")
    got = read(place.at("paced.h5"))
    check((np.diff(got["due_ns"]) > 0).all() and abs(got["due_ns"][-1] / 1e9 - 0.1) < 0.01, "due times of 30,000 a second")
    check((got["answered_ns"] >= got["due_ns"]).all(), "answered before it was due")
    check((got["prediction"] == read(place.at("all1.h5"))["prediction"]).all(), "the pace changes predictions")


def no_labels():
    """Nothing to score: predicted all the same, by a Keras file and a configuration too."""
    place = trained(1)
    x, _ = stream(place, "new.h5", 1000, 3, labels=None)
    p = forward(place, x)
    out, err = predict(place, "run", "--stream", place.at("new.h5"), "-o", place.at("all.h5"))
    got = read(place.at("all.h5"))
    check(np.allclose(got["confidence"], p.max(axis=1), atol=1e-5) and (got["label"] == -1).all(), "without labels")
    contains(out, "unlabelled   1,000 records were predicted only")
    check("nan" not in out.lower() and err == "", f"{out}\n{err}")
    shutil.copy(place.at("run", "checkpoint", place.checkpoints()[-1], "model.h5"), place.at("alone.h5"))
    _, err = predict(place, "alone.h5", "--stream", place.at("new.h5"), expect=2, run_dir="lonely")
    one_line(err, "alone.h5", "--stream a configuration")
    place.write("new.yaml", TRAIN.replace("old.h5", "new.h5"))
    predict(place, "alone.h5", "--stream", place.at("new.yaml"), "-o", place.at("again.h5"), run_dir="again")
    check((read(place.at("again.h5"))["prediction"] == got["prediction"]).all(), "a configuration says the same")


def stop_and_go_on():
    """Stopped twice, each time in the middle: no record is missing, and none that stands twice differs."""
    place = trained()
    stream(place, "new.h5", 6000, 4)
    for life in (1, 2, 3):
        rate = 4000 if life < 3 else 1000000
        command = [TENSAIR, "predict", place.at("run"), "--stream", place.at("new.h5"), "--rate", str(rate), "-n", "2",
                   "--run-dir", place.at("served"), "--quiet", "-o", place.at("all.h5"), "--set", "exchange.dead_after=30"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if life < 3:
            place.wait_for(lambda: place.training(2, "served", life), process, what="serving")
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
        out, _ = finish(process, 75 if life < 3 else 0)
        contains(out, "tensair predict" if life < 3 else "predictions  ")
    got = read(place.at("all.h5"))
    check((got["record"] == np.arange(6000)).all() and set(got["life"]) == {1, 2, 3}, "a record is missing")
    one = sum(len(read(place.at("served", "predictions", f))["record"]) for f in os.listdir(place.at("served", "predictions")))
    check(one == 6000, f"{one} predictions of 6000 records: some were made twice")


def begin_with():
    """train --from: the weights, and nothing else: the first window is as good as the last one was."""
    place = trained()
    stream(place, "new.h5", 2000, 5)
    place.write("new.yaml", TRAIN.replace("old.h5", "new.h5"))
    place.train("--set", "metrics.every_records=200", config="new.yaml", run_dir="cold")
    place.train("--set", "metrics.every_records=200", "--from", place.at("run"), "-n", 3, config="new.yaml", run_dir="warm")
    first = [next(w["accuracy_all"] for w in place.metrics(d, "window") if w["records"] >= 200) for d in ("cold", "warm")]
    check(first[1] > 0.9 > first[0], f"the first 200 records: {first}")
    check(place.metrics("warm", "summary")[0]["records"] == 2000, "nothing of the old stream counts")
    place.write("wide.yaml", TRAIN.replace("units: 16", "units: 17").replace("old.h5", "new.h5"))
    _, err = place.train("--from", place.at("run"), config="wide.yaml", run_dir="wide", expect=2)
    one_line(err, "does not fit", "new.h5", "dense")
    place.write("tanh.yaml", TRAIN.replace("relu", "tanh").replace("old.h5", "new.h5"))
    _, err = place.train("--from", place.at("run"), config="tanh.yaml", run_dir="tanh")
    contains(err, "not quite this one")


def one_file():
    """predictions.h5 of two replicas, opened again and again while it grows, and followed below /logs."""
    place = Place()
    process = place.start("-n", 2, "--set", "online.predictions=yes", "--set", "pace.type=constant", "--set", "pace.rate=2000",
                          "--set", "run.max_records=7000")
    path, seen = place.at("run", "predictions.h5"), []
    place.wait_for(lambda: os.path.exists(path), process, what="the file")
    while process.poll() is None:
        with h5py.File(path, "r", swmr=True) as f:
            record = f["record"][()]
            check(record.shape[0] == 2 and (f["replica"][()] == [0, 1]).all() and (f["life"][()] == 1).all(), "rows by replica")
            there = record != 2**64 - 1
            for r in (0, 1):
                n = there[r].sum()
                check(there[r][:n].all(), "a hole among the rows")
                if n:
                    check(f[f"logs/life-0001-replica-0000{r}/record"].shape[0] >= n, "less in the log than in the file over it")
                    check((record[r][:n] // 16 % 2 == record[r][0] // 16 % 2).all(), "another replica's record")
            seen.append(int(there.sum()))
        time.sleep(0.2)
    finish(process, 0)
    check(len(set(seen)) >= 3, f"it grew: {sorted(set(seen))}")
    with h5py.File(path, "r") as f:
        record = f["record"][()]
        check((np.sort(record[record != 2**64 - 1]) == np.arange(7000)).all(), "every record once")
        check((f["prediction"][()][record == 2**64 - 1] == -1).all(), "what is not there says so")
    listing = subprocess.run(["h5ls", path], stdout=subprocess.PIPE, text=True)
    check(listing.returncode == 0 and "record                   Dataset {2, " in listing.stdout, listing.stdout)


def refused():
    place = trained()
    stream(place, "new.h5", 100, 6)
    stream(place, "wide.h5", 100, 6, width=5)
    stream(place, "many.h5", 100, 6, classes=7)
    new = ("--stream", place.at("new.h5"))
    for arguments, model, code, parts in (
            ((), "run", 2, ["--stream"]),
            (new, "nowhere", 74, ["nowhere"]),
            (("--stream", place.at("nothing.h5")), "run", 74, ["nothing.h5"]),
            ((*new, "--rate", "-3"), "run", 2, ["--rate -3"]),
            ((*new, "--set", "stream.bach=3"), "run", 2, ["stream.bach"]),
            (("--stream", place.at("wide.h5")), "run", 2, ["does not fit", "run/checkpoint", "wide.h5", "1 x 1 x 5"]),
            (("--stream", place.at("wide.h5"), "-n", 2), "run", 2, ["does not fit", "wide.h5"]),
            (("--stream", place.at("many.h5")), "run", 2, ["does not fit", "many.h5", "7 classes"])):
        _, err = predict(place, model, *arguments, expect=code, run_dir="none")
        one_line(err, *parts)
    _, err = predict(place, "run", *new, expect=2, run_dir="run")
    one_line(err, "--run-dir", "wrote the checkpoint")
    checkpoint = place.at("run", "checkpoint", place.checkpoints()[-1])
    with open(os.path.join(checkpoint, "model.h5"), "r+b") as file:
        file.seek(3000)
        byte = file.read(1)
        file.seek(3000)
        file.write(bytes([byte[0] ^ 1]))
    _, err = predict(place, checkpoint, *new, expect=74, run_dir="none")
    one_line(err, "model.h5", "damaged")
    _, err = predict(place, "run", *new, expect=74, run_dir="none")
    one_line(err, "no whole checkpoint")
    text = "model: {type: skipgram, dim: 8}\nstream: {file: t.h5, batch: 4}\nrun: {max_records: 8}\n"
    place.write("words.txt", "one two three four five six seven eight\n" * 400)
    made = subprocess.run([TENSAIR, "data", "import", "text", "words.txt", "-o", "t.h5"], cwd=place.path, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check(made.returncode == 0, made.stdout)
    place.write("words.yaml", text)
    place.train(config="words.yaml", run_dir="words")
    _, err = predict(place, "words", "--stream", place.at("t.h5"), expect=2, run_dir="none")
    one_line(err, "tensair eval words")


for test in (serve, no_labels, stop_and_go_on, begin_with, one_file, refused):
    test()
    print("ok", test.__name__)
