"""What a run says of drift made to order: alarms, recovery and training held against its own log of predictions."""
import glob
import json
import shutil
import subprocess

import h5py
import numpy as np

from harness import TENSAIR, Place, check, contains

DRIFT = """\
run: {seed: 7}
stream:
  generator: "sea:noise=0.02"
  records: 30000
  batch: 16
  inject_drift: [{type: rotate, at: 12000}, {type: known, at: 21000}]
pace: {type: constant, rate: 30000}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
metrics: {window: 400, every_records: 200}
online: {mode: train, watch: error, predictions: yes, detector: {type: ddm}}
"""


def hits(place, run_dir):
    parts = [h5py.File(f, "r") for f in glob.glob(place.at(run_dir, "predictions", "life-*.h5"))]
    record, hit = (np.concatenate(p) for p in zip(*((f["record"][:], f["prediction"][:] == f["label"][:]) for f in parts)))
    return hit[np.argsort(record)]


def recovery(hit, drift, end, window):
    """By single records: where accuracy over the next `window` of them is back to 95 % of what it was."""
    sums = np.concatenate([[0], np.cumsum(hit)])
    wanted = 0.95 * (sums[drift] - sums[drift - window])
    back = [p for p in range(drift, end - window + 1) if sums[p + window] - sums[p] >= wanted]
    return back[0] - drift if back else None


def cost():
    """To a stretch of every replica, that is a tenth of the window, what single records say."""
    for n in (1, 2):
        place = Place(DRIFT)
        out, _ = place.train("-n", n)
        contains(out, "drift        2 made", "recovered    from 2 of 2")
        drift = place.metrics(kind="summary")[0]["drift"]
        first, second = drift["changes"]
        check((first["type"], second["type"]) == ("rotate", "known") and first["delay"] is not None, f"{drift}")
        hit = hits(place, "run")
        wanted = recovery(hit, 12000, 21000, 400)
        slack = 2 * 40 * n + 16 * n  # where stretches begin, and batches of the other replica between them
        place_back = 12000 + first["recovery"]
        check(wanted is not None and wanted <= first["recovery"] + slack, f"{first['recovery']}, single records: {wanted}")
        check(hit[place_back:place_back + 400].mean() > 0.95 * first["before"] - 0.03, f"not back at {place_back}")
        check(hit[12000:12400].mean() < 0.95 * first["before"], "the drift did no harm")
        check(abs(first["recovery_s"] - first["recovery"] / 30000) <= 3 * slack / 30000, f"{first}: not its due times")
        check(abs(first["before"] - hit[11600:12000].mean()) < 0.05, f"{first['before']}: {hit[11600:12000].mean()}")
        check(abs(first["trained"] - 9000) <= 2 * slack, f"trained on {first['trained']} of 9000")
        check(second["recovery"] <= slack, f"nothing happened at 21000: {second['recovery']}")
        check(place.metrics(kind="summary")[0]["trained"] == 30000, "trained on all")
        with open(place.at("run", "manifest.json")) as file:
            told = json.load(file)["summary"]["drift"]
        check([c["recovery"] for c in told["changes"]] == [c["recovery"] for c in drift["changes"]], f"the manifest: {told}")


def never():
    """Who does not train does not recover; nobody is told to have trained."""
    place = Place(DRIFT)
    place.train("--set", "run.max_records=12000")
    out, _ = place.train("--mode", "predict", "--set", "run.max_records=30000")
    contains(out, "trained on   0 of 18,000 records", "never from")
    drift = place.metrics(kind="summary")[-1]["drift"]
    check(drift["changes"][0]["recovery"] is None and drift["changes"][0]["trained"] == 0, f"{drift}")
    check(drift["changes"][0]["before"] > 0.8, "what the life before scored counts")


def begun_again():
    """A run that begins anew in the same place forgets what the one before saw."""
    place = Place(DRIFT)
    place.train()
    shutil.rmtree(place.at("run", "checkpoint"))
    place.train("--resume", "never", "--set", "online.detector.type=never")
    first, second = (s["drift"] for s in place.metrics(kind="summary"))
    check(first["found"] >= 1 and second["found"] == 0 and second["false_alarms"] == 0, f"{first}, {second}")
    check(abs(first["changes"][0]["trained"] - second["changes"][0]["trained"]) <= 80, "stretches are counted twice")


def passes():
    """Each pass over a stream undoes what the one before had changed."""
    place = Place(DRIFT)
    place.train("--set", "run.epochs=2")
    with open(place.at("run", "drift_truth.json")) as file:
        truth = [(t["record"], t["type"], t["begins"]) for t in json.load(file)]
    check(truth == [(12000, "rotate", True), (21000, "known", True), (30000, "known", False), (42000, "rotate", True),
                    (51000, "known", True)], f"{truth}")


def marks():
    """Pictures: lines where drift was made and found, shades where nothing but predictions was made."""
    place = Place(DRIFT)
    place.write("run.yaml", DRIFT.replace("mode: train", "mode: auto, plateau: {stretch: 300, patience: 4, factor: 1.6}"))
    place.train()
    subprocess.run([TENSAIR, "plot", place.at("run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    script = open(place.at("run", "plots", "plot.gp")).read()
    made, found = script.count("from 12000, graph 0 to 12000, graph 1"), place.metrics(kind="drift")
    check(made == 4, f"loss and accuracy, alone and on the sheet: {made} lines at the drift")  # two panels, twice
    for line in found:
        contains(script, f"from {line['record']}, graph 0 to {line['record']}, graph 1")
    check(script.count("set object rectangle") == 4 * sum(not m["training"] for m in place.metrics(kind="mode")), "shades")
    contains(script, "title 'drift made'", "title 'predicting only'", "records of the stream")


for test in (cost, never, begun_again, passes, marks):
    test()
    print("ok", test.__name__)
