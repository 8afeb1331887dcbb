"""Wrong input: each gets one clear line that names place and cure, and the right exit status; nothing half is left."""
import os
import subprocess

import h5py
import numpy
from harness import check, CONFIG, contains, one_line, Place, TENSAIR


def configuration():
    place = Place()
    wrong = [
        (["--set", "stream.bach=3"], 2, ["stream", "bach", "batch"]),
        (["--set", "stream.batch=zwei"], 2, ["batch", "zwei"]),
        (["--set", "stream.batch=2000000000"], 2, ["stream.batch", "2e+09", "1.04858e+06"]),
        (["--set", "stream.generator=se"], 2, ["se", "sea"]),
        (["--set", "stream.file=nowhere.h5"], 2, ["file", "generator"]),
        (["--set", "pace.type=constant"], 2, ["rate"]),
        (["--set", "pace.type=sometimes"], 2, ["sometimes"]),
        (["--set", "run.epochs=-2"], 2, ["run.epochs", "-2"]),
        (["--set", "metrics.fading=1"], 2, ["metrics.fading"]),
        (["--set", "exchange.type=lively"], 2, ["lively"]),
        (["--set", "transport.type=pigeon"], 2, ["pigeon"]),
        (["--set", "exchange.dead_after=0.1"], 2, ["dead_after", "heartbeat"]),
        (["--set", "device.type=abacus"], 2, ["abacus"]),
        (["--set", "run.log_level=loud"], 2, ["loud", "debug"]),
        (["--set", "model.layers[1].units=3"], 2, ["3", "2"]),
        (["--set", "model.layers[0].units=4000000000"], 2, ["layers[0]", "12000000000"]),
        (["--set", "optimizer.rate=-1"], 2, ["rate", "-1"]),
        (["-n", "3", "--set", "optimizer.rate=-1"], 2, ["rate", "-1"]),
        (["-n", "3", "--set", "model.layers[1].units=3"], 2, ["3", "2"]),
        (["-n", "0"], 2, ["-n 0"]),
        (["-n", "many"], 2, ["many"]),
        (["--nonsense"], 2, ["--nonsense"]),
        (["--set"], 2, ["--set"]),
        (["other.yaml"], 2, ["other.yaml"]),
        (["--resume", "nowhere"], 74, ["nowhere"]),
        (["--run-dir", "run.yaml/x"], 74, ["run.yaml"]),
        (["--run-dir", ""], 2, ["empty"]),
    ]
    for arguments, code, parts in wrong:
        _, err = place.train(*arguments, expect=code)
        one_line(err, "tensair train: ", *parts)
    check(not os.path.exists(place.at("run", "checkpoint")), "a run that never began has left checkpoints")
    _, err = place.train(config="missing.yaml", expect=74)
    one_line(err, "missing.yaml")
    place.write("typo.yaml", CONFIG.replace("adam, rate", "adam, rte"))
    _, err = place.train(config="typo.yaml", expect=2)
    one_line(err, "typo.yaml:8", "rte", "rate")


def without_model():
    place = Place("stream: {generator: sea}\n")
    _, err = place.train(expect=2)
    one_line(err, "model")


def verbs():
    def run(*arguments):
        done = subprocess.run([TENSAIR, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        return done.returncode, done.stdout, done.stderr

    code, out, err = run("--help")
    check(code == 0 and "train" in out and err == "", "tensair --help")
    code, out, err = run("trian")
    check(code == 2 and "did you mean 'train'" in err and out == "", f"nearest verb: {err}")
    check(run()[0] == 2, "no verb")
    for verb in [l.split()[0] for l in run("--help")[1].splitlines() if l.startswith("    ")]:
        code, out, err = run(verb, "--help")
        check(code == 0 and "usage: tensair " + verb in out and err == "", f"tensair {verb} --help: {code} {out} {err}")
    code, out, _ = run("version")
    check(code == 0 and "HDF5" in out and "oneDNN" in out, "tensair version")
    check(run("version", "now")[0] == 2, "too many arguments")


def effective():
    """What --print-config prints is a configuration again, and means the same."""
    place = Place()
    text, _ = place.train("--print-config", "--set", "optimizer.rate=0.0123", "--set", "run.epochs=-1", run_dir=None)
    place.write("again.yaml", text)
    again, _ = place.train("--print-config", config="again.yaml", run_dir=None)
    check(text == again, "printed twice, two texts")
    place.train("--set", "optimizer.rate=0.0123", run_dir="a")
    with open(place.at("a", "config.yaml")) as file:
        place.write("b.yaml", file.read())
    place.train(config="b.yaml", run_dir="b")
    a, b = (place.events("rest", d)[-1]["checksum"] for d in ("a", "b"))
    check(a == b, "the configuration in the run directory gives another run")


def stream(place, name, x, y, **attributes):
    with h5py.File(place.at(name), "w") as file:
        file["x"] = x
        file["y"] = y
        for key, value in attributes.items():
            file.attrs[key] = value


FILE = CONFIG.replace("generator: sea", "file: data.h5").replace("max_records: 4000", "epochs: 1")


def data():
    place = Place(FILE)
    rng = numpy.random.default_rng(1)
    x = rng.normal(size=(640, 3)).astype("f4")
    y = (x[:, 0] > 0).astype("i4")
    _, err = place.train(expect=74)
    one_line(err, "data.h5")

    stream(place, "data.h5", x, y)
    place.train(run_dir="good")
    check(place.metrics("good", "summary")[0]["records"] == 640, "a file made by hand")

    bad = x.copy()
    bad[333, 1] = numpy.nan
    stream(place, "data.h5", bad, y)
    _, err = place.train(expect=74, run_dir="nan")
    contains(err, "data.h5", "333")

    wide = y.copy()
    wide[5] = 2
    stream(place, "data.h5", x, wide)
    _, err = place.train(expect=2, run_dir="wide")
    one_line(err, "3", "2")

    place.write("data.h5", "this is not HDF5\n")
    _, err = place.train(expect=74, run_dir="text")
    one_line(err, "data.h5")
    stream(place, "data.h5", x, y)
    os.truncate(place.at("data.h5"), os.path.getsize(place.at("data.h5")) // 2)
    _, err = place.train(expect=74, run_dir="short")
    one_line(err, "data.h5")


def some_labels():
    """Records without a label are predicted, not trained on and not scored."""
    place = Place(FILE)
    rng = numpy.random.default_rng(2)
    x = rng.normal(size=(640, 3)).astype("f4")
    y = (x[:, 0] > 0).astype("i4")
    y[::3] = -1
    y[160:320] = -1  # ten whole batches
    stream(place, "data.h5", x, y)
    for n in (1, 2):
        place.train("-n", n, run_dir=f"run{n}")
        summary = place.metrics(f"run{n}", "summary")[0]
        unlabelled = int((y < 0).sum())
        check(summary["unlabelled"] == unlabelled, f"unlabelled: {summary['unlabelled']}, not {unlabelled}")
        check(summary["records"] == 640 - unlabelled and summary["steps"] == 30, f"scored {summary}")


def values():
    place = Place(FILE.replace("cross_entropy", "squared_error").replace("units: 2, activation: softmax", "units: 1"))
    rng = numpy.random.default_rng(3)
    x = rng.normal(size=(3200, 3)).astype("f4")
    stream(place, "data.h5", x, (x[:, 0] * 2 + 1).astype("f4"))
    place.train()
    summary = place.metrics(kind="summary")[0]
    check(summary["accuracy"] is None and summary["loss"] < 0.5, f"squared error on a line: {summary}")
    _, err = place.train("--set", "model.loss=cross_entropy", "--set", "model.layers[1].units=2", expect=2, run_dir="cross")
    one_line(err, "cross_entropy", "squared_error")


def diverging():
    """Gradients that are not finite are dropped and counted; a run of nothing else fails."""
    place = Place(FILE)
    rng = numpy.random.default_rng(4)
    stream(place, "data.h5", (rng.normal(size=(640, 3)) * 1e30).astype("f4"), rng.integers(0, 2, 640).astype("i4"))
    _, err = place.train("--set", "optimizer.type=sgd", "--set", "model.layers[1].activation=none", "--set", "model.loss=squared_error",
                         expect=1)
    contains(err, "finite", "optimizer.rate")


for test in (configuration, without_model, verbs, effective, data, some_labels, values, diverging):
    test()
    print("passed:", test.__name__)
