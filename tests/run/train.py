"""`tensair train` from a configuration to its summary: one and several replicas, and everything a run leaves."""
import json
import os

from harness import Place, check, contains, nothing_left


def files(place):
    run = place.at("run")
    names = set(os.listdir(run))
    check(names == {"config.yaml", "manifest.json", "metrics.jsonl", "log", "checkpoint", "incarnation"}, f"run directory holds {names}")
    with open(os.path.join(run, "manifest.json")) as file:
        manifest = json.load(file)
    for key in ("schema", "program", "command", "seed", "replicas", "host", "stream", "model", "configuration", "start", "end"):
        check(manifest.get(key) is not None, f"manifest without {key}")
    check(manifest["exit_code"] == 0 and manifest["seed"] == 7, "manifest: exit code or seed")
    check(manifest["host"]["cores"] >= 1 and manifest["program"]["libraries"]["HDF5"], "manifest: host or libraries")
    return manifest


def one():
    place = Place()
    out, _ = place.train()
    contains(out, "records      4,000", "accuracy", "checkpoint   " + place.at("run", "checkpoint", "000000250"), "metrics")
    manifest = files(place)
    check(manifest["summary"]["records"] == 4000 and manifest["summary"]["steps"] == 250, "summary in the manifest")
    last = place.metrics(kind="window")[-1]
    for key in ("records", "loss", "accuracy", "fading_accuracy", "lag_s", "dropped", "s_avg", "s_max", "compute_s",
                "rss_bytes", "peers", "records_per_s", "wall", "t_s"):
        check(key in last, f"a window without {key}")
    check(last["accuracy"] > 0.7, f"learned nothing: {last['accuracy']}")
    summary = place.metrics(kind="summary")
    check(len(summary) == 1 and summary[0]["rank"] == -1, "one summary line")
    nothing_left(place)


def several():
    place = Place()
    for n in (2, 4):
        out, _ = place.train("-n", n, "--set", "run.max_records=16000", run_dir=f"run{n}")
        contains(out, "records      16,000", f"{n} replicas")
        rests = place.events("rest", f"run{n}")
        check(len(rests) == n, f"{len(rests)} replicas came to rest, not {n}")
        check(len({r["checksum"] for r in rests}) == 1, f"replicas disagree at rest: {rests}")
        check({r["steps"] for r in rests} == {1000}, "steps at rest")
        windows = place.metrics(f"run{n}", "window")
        for rank in range(n):
            last = [w for w in windows if w["rank"] == rank][-1]
            check(last["records"] == 16000 // n and len(last["peers"]) == n - 1, f"share of rank {rank}")
        check(len(os.listdir(place.at(f"run{n}", "log"))) == n, "a log each")
        nothing_left(place, f"run{n}")


def rounds():
    """Checkpoints while training: all replicas rest on the same bits each time, and only the newest are kept."""
    place = Place()
    place.train("-n", 2, "--set", "run.max_records=64000", "--set", "checkpoint.every_records=8000", "--set",
                "checkpoint.keep=3", "--set", "pace.type=constant", "--set", "pace.rate=32000")
    rests = {}
    for line in place.events("rest"):
        rests.setdefault(line["round"], set()).add((line["checksum"], line["steps"]))
    check(len(rests) >= 4, f"only {len(rests)} rounds")
    for number, seen in rests.items():
        check(len(seen) == 1, f"round {number}: {seen}")
    kept = place.checkpoints()
    check(1 <= len(kept) <= 3 and kept[-1] == "000004000", f"kept {kept}")
    check(not [n for n in os.listdir(place.at("run", "checkpoint")) if n.startswith(".tmp")], "unfinished checkpoints left")


def pace():
    """An open loop: 2,000 records a second for a second; drop counts what came too late."""
    place = Place()
    out, _ = place.train("-n", 2, "--set", "run.max_records=2000", "--set", "pace.type=constant", "--set", "pace.rate=2000")
    seconds = place.metrics(kind="summary")[0]["seconds"]
    check(0.95 < seconds < 30, f"2,000 records at 2,000 a second took {seconds} s")


def overload():
    """More than can be trained: lag grows by default; on_overload: drop leaves out what is too late, counts it, and goes on."""
    place = Place()
    fast = ["--set", "run.max_records=4000000", "--set", "pace.type=constant", "--set", "pace.rate=8000000"]
    place.train(*fast, "--set", "stream.on_overload=drop", "--set", "stream.max_lag=0.01")
    summary = place.metrics(kind="summary")[0]
    check(summary["dropped"] > 0, "nothing was dropped")
    check(summary["records"] + summary["dropped"] == 4000000, f"neither trained nor dropped: {summary}")
    place.train(*fast, "--set", "run.max_records=400000", run_dir="lag")
    check(max(w["lag_s"] for w in place.metrics("lag", "window")) > 0.01, "no lag to be seen")
    check(place.metrics("lag", "summary")[0]["records"] == 400000, "lag must not lose records")


def limits():
    place = Place()
    place.train("--set", "run.max_records=0", "--set", "run.max_seconds=0.5")
    seconds = place.metrics(kind="summary")[0]["seconds"]
    check(0.4 < seconds < 30, f"max_seconds 0.5 ended after {seconds} s")
    place.train("--set", "run.max_records=1003", run_dir="short")
    check(place.metrics("short", "summary")[0]["records"] == 1003, "the short last batch")


def drift():
    """Dropout and batch norm predict in a pass of their own; a generator of pictures goes through a convolution."""
    place = Place("""\
run: {max_records: 640}
stream: {generator: glyphs, batch: 32}
model:
  loss: cross_entropy
  layers:
    - {type: conv2d, filters: 4, kernel: 3, activation: relu}
    - {type: batch_norm}
    - {type: max_pool, pool: 4}
    - {type: flatten}
    - {type: dropout, rate: 0.2}
    - {type: dense, units: 10, activation: softmax}
""")
    place.train("-n", 2)
    rests = place.events("rest")
    check(len({r["checksum"] for r in rests}) == 1, f"replicas with moving statistics disagree: {rests}")
    check(sum(w["predict_s"] for w in place.metrics(kind="window")) > 0, "no prediction pass of its own")


for test in (one, several, rounds, pace, overload, limits, drift):
    test()
    print("passed:", test.__name__)
