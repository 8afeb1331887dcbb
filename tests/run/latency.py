"""Latencies as a person finds them: the files of the replicas, merged by NumPy, are what summary and windows say."""
import glob

import h5py
import numpy as np

from harness import Place, check, contains
from words_common import CONFIG as WORDS, place_with_text

MOMENTS = ("predicted", "trained", "visible")
PACED = ("--set", "pace.type=poisson", "--set", "pace.rate=4000", "--set", "run.max_records=6000",
         "--set", "checkpoint.off=yes")


def highest(bucket):
    """The largest value of a bucket of hist.h: 7 bits after the leading one."""
    if bucket < 256:
        return bucket
    shift = bucket // 128 - 1
    return ((bucket % 128 + 128 + 1) << shift) - 1


def percentile(buckets, most, percent):
    rank = max(1, int(np.ceil(percent / 100 * buckets.sum())))
    return min(highest(int(np.searchsorted(np.cumsum(buckets), rank))), most)


def files(place):
    return [h5py.File(name, "r") for name in sorted(glob.glob(place.at("run", "latency", "life-00001-replica-*.h5")))]


def merged(*exchange):
    place = Place()
    out, _ = place.train("-n", 2, *PACED, *exchange)
    contains(out, "latency      predicted", "visible", "checkpoint   none")
    summary = place.metrics(kind="summary")[0]
    logs = files(place)
    check(len(logs) == 2, f"{len(logs)} files of latencies")
    for moment in MOMENTS:
        buckets = sum(np.array(f[moment], dtype=np.uint64) for f in logs)
        most = max(int(f[moment].attrs["max"]) for f in logs)
        said = summary["latency"][moment]
        counted = int(buckets.sum())
        check(said["count"] == counted == 6000, f"{moment}: {said['count']} counted, {counted} in buckets")
        mean = sum(float(f[moment].attrs["sum"]) for f in logs) / 6000
        check(abs(said["mean_s"] * 1e9 / mean - 1) < 1e-6, f"{moment}: mean {said['mean_s']}, {mean} ns")
        for percent, key in ((50, "p50_s"), (90, "p90_s"), (99, "p99_s"), (99.9, "p99.9_s")):
            expected = percentile(buckets, most, percent)
            check(abs(said[key] * 1e9 - expected) < 1 + 1e-8 * expected,
                  f"{moment}: {key} is {said[key]} s, {expected} ns by NumPy")
    said = summary["latency"]
    check(said["predicted"]["p50_s"] <= said["trained"]["p50_s"] <= said["visible"]["p50_s"], "out of order")
    for f in logs:
        samples = int(f["lag_samples"][()].sum())
        check(samples in (187, 188), f"{samples} samples of 375 batches dealt to two")
        check(f["lag_s"].attrs["stretch_ns"] == 10000000 and f["lag_s"].attrs["unseen"] == 0, "attributes")
    windows = place.metrics(kind="window")
    check(all("latency" in w for w in windows), "latency in every window")
    return place


def warm_up_and_alone():
    place = Place()
    place.train(*PACED, "--set", "metrics.warm_up=0.75", "--set", "pace.type=constant")
    said = place.metrics(kind="summary")[0]["latency"]
    check(said["trained"]["count"] == 3000, f"{said['trained']['count']} of 6000 records at 4000/s after 0.75 s")
    check(said["visible"] == said["trained"], "alone, what is trained is visible")


def without_due_times():
    place = Place()
    out, _ = place.train("--set", "run.max_records=2000")
    check("latency" not in out and "latency" not in place.metrics(kind="summary")[0], "pace max knows no due times")
    check(not files(place), "and leaves no file")


def predicting_only():
    """Nothing is trained, so nothing becomes visible."""
    place = Place()
    place.train(*PACED, "--mode", "predict", "--resume", "never")
    said = place.metrics(kind="summary")[0]["latency"]
    check(said["predicted"]["count"] == 6000 and "trained" not in said and "visible" not in said, f"{said}")


def words():
    """Rows that are held back become visible later than the step was made, by up to rows_within; none is forgotten."""
    place = place_with_text(WORDS, lines=2000)
    place.train("-n", 2, "--set", "pace.type=constant", "--set", "pace.rate=2000", "--set", "checkpoint.off=yes",
                "--set", "exchange.rows_after=200", "--set", "exchange.rows_within=0.2")
    said = place.metrics(kind="summary")[0]["latency"]
    check(said["visible"]["count"] == said["trained"]["count"] == said["predicted"]["count"] == 2000, f"{said}")
    check(said["visible"]["p90_s"] > said["trained"]["p50_s"] + 0.05, f"rows were held back, and seen at once: {said}")


if __name__ == "__main__":
    merged()
    for lock_step in (["exchange.type=sync"], ["exchange.type=dasgd", "exchange.max_staleness=0"]):
        merged(*[word for key in lock_step for word in ("--set", key)])  # updated when all have given their gradients
    warm_up_and_alone()
    without_due_times()
    predicting_only()
    words()
    print("ok")
