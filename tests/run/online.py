"""Online learning as a person sees it: predictions logged, labels that are missing or late, drift found and answered."""
import glob
import json
import os
import signal

import h5py
import numpy as np

from harness import CONFIG, Place, check, contains, one_line, replicas_of

DRIFT = """\
run: {seed: 7}
stream:
  generator: "sea:noise=0.05"
  records: 60000
  batch: 16
  inject_drift: [{type: rotate, at: 30000}]
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
metrics: {window: 500, every_records: 500}
online:
  mode: auto
  watch: error
  detector: {type: ddm}
  plateau: {stretch: 500, patience: 8, factor: 1.2}
"""


def windows(place, run_dir="run"):
    return place.metrics(run_dir, "window")


def logs(place, run_dir="run"):
    return [h5py.File(f, "r") for f in sorted(glob.glob(place.at(run_dir, "predictions", "*.h5")))]


def cycle():
    """Trains until converged, predicts, finds the drift, trains again."""
    place = Place(DRIFT)
    out, _ = place.train()
    contains(out, "drift        1 made, 1 found")
    with open(place.at("run", "drift_truth.json")) as file:
        check(json.load(file) == [{"record": 30000, "width": 0, "type": "rotate", "begins": True}], "the truth beside the run")
    score = place.metrics(kind="summary")[0]["drift"]
    check(score["made"] == 1 and score["found"] == 1 and score["delay"] < 3000, f"{score}")
    changes = place.events("mode")
    check(len(changes) >= 3, f"changes of mode: {[c['text'] for c in changes]}")
    drifts = place.metrics(kind="drift")
    found = [d["record"] for d in drifts if 30000 <= d["record"] < 33000]
    check(found, f"drift at 30000, alarms at {[d['record'] for d in drifts]}")
    at = {w["records"]: w for w in windows(place)}
    low = min(w["accuracy"] for n, w in at.items() if 30000 < n <= 34000)
    high = max(w["accuracy"] for n, w in at.items() if n > 45000)
    check(low < 0.7 and high > 0.85, f"accuracy fell to {low} and came back to {high}")
    idle = [w for w in windows(place) if not w["training"]]
    check(idle and all("kappa" in w and len(w["recall"]) == 2 for w in idle), "windows of predicting")
    steps = [w["steps"] for w in windows(place)]
    check(any(a == b for a, b in zip(steps, steps[1:])), "no stretch without a step")
    place.train("--mode", "predict", run_dir="never")
    check(windows(place, "never")[-1]["steps"] == 0, "mode predict trained")
    place.train("--mode", "train", run_dir="always")
    check(windows(place, "always")[-1]["steps"] == 60000 // 16, "mode train did not train on every batch")
    check(place.metrics("always", "drift"), "mode train does not say that drift was found")


def together():
    """Two replicas are always of one mind, and rest on the same weights."""
    place = Place(DRIFT)
    place.train("-n", 2, "--set", "pace.type=constant", "--set", "pace.rate=20000")
    last = {w["rank"]: w["change"] for w in windows(place)}
    check(len(set(last.values())) == 1 and last[0] >= 2, f"changes: {last}")
    check(len({e["checksum"] for e in place.events("rest")}) == 1, "replicas disagree at rest")
    losses = [[(w["t_s"], w["loss"], w["loss_mean"]) for w in windows(place)
               if w["rank"] == r and w["records"] >= 3000] for r in (0, 1)]
    heard = [2 * mean - own for _, own, mean in losses[0] if mean != own]  # equal: it has left
    check(len(heard) > 10 and all(0 < h < 10 for h in heard), f"heard of the other's loss: {heard}")
    other = np.mean([own for _, own, _ in losses[1]])
    check(abs(np.mean(heard) - other) < 0.1, f"heard {np.mean(heard)} of the other's mean loss, which was {other}")


def predictions():
    """The log of predictions holds every record once, and says what the score says; late labels change neither."""
    place = Place()
    for n, delay in ((1, 0), (3, 0), (1, 300)):
        run = f"run{n}-{delay}"
        place.train("-n", n, "--set", "online.predictions=yes", "--set", f"online.label_delay={delay}", run_dir=run)
        files = logs(place, run)
        check(len(files) == n, f"{len(files)} logs")
        record = np.concatenate([f["record"][:] for f in files])
        check((np.sort(record) == np.arange(4000)).all(), "every record once")
        hits = np.concatenate([f["prediction"][:] == f["label"][:] for f in files])
        if delay:
            hits = hits[record < 4000 - delay]
        last = {w["rank"]: w for w in windows(place, run)}
        score = sum(w["accuracy_all"] * w["records"] for w in last.values())
        check(abs(hits.sum() - score) < 1e-3 and len(hits) == sum(w["records"] for w in last.values()),
              f"{run}: {hits.sum()} hits of {len(hits)} in the log, {score} in the score")
        for f in files:
            check((f["answered_ns"][:] >= 0).all() and (np.diff(f["version"][:].astype(np.int64)) >= 0).all(), "times, versions")
            check(((f["confidence"][:] >= 0.5) & (f["confidence"][:] <= 1)).all(), "confidence of the likelier of two")
        if delay:
            check(last[0]["waiting"] == delay and last[0]["waiting_dropped"] == 0, f"{last[0]['waiting']} wait at the end")


def missing_labels():
    """Some labels are missing, some come late, one by one: nothing is trained on that is not known."""
    place = Place()
    rng = np.random.default_rng(1)
    x = rng.random((4000, 3), np.float32)
    y = (x[:, 0] + x[:, 1] > 1).astype(np.int32)
    y[rng.random(4000) < 0.3] = -1
    known = int((y >= 0).sum())
    with h5py.File(place.at("s.h5"), "w") as f:
        f["x"], f["y"] = x, y
        f.attrs.update(format="tensair-stream", version=1, records=4000, classes=2, scale=1.0)
    run = ("--set", "stream.generator=", "--set", f"stream.file={place.at('s.h5')}", "--set", "online.predictions=yes")
    place.train(*run)
    last = windows(place)[-1]
    check(last["records"] == known and last["unlabelled"] == 4000 - known, f"{last['records']} scored of {known}")
    check(last["accuracy"] > 0.85, f"learned nothing: {last['accuracy']}")
    label = np.concatenate([f["label"][:] for f in logs(place)])
    check((label == y).all(), "labels in the log")
    with h5py.File(place.at("s.h5"), "a") as f:
        f["label_delay"] = rng.integers(0, 5000, 4000)
        due = int(((np.arange(4000) + f["label_delay"][:] < 4000) & (y >= 0)).sum())
    place.train(*run, run_dir="late")
    last = windows(place, "late")[-1]
    check(last["records"] == due and last["waiting"] == known - due, f"{last['records']} of {due} came, {last['waiting']} wait")
    check(abs(last["steps"] - due // 16) <= 1, f"{last['steps']} steps on {due} records")
    place.train(*run, "--set", "online.waiting=50", run_dir="bounded")
    last = windows(place, "bounded")[-1]
    check(last["waiting"] <= 50 and last["waiting_dropped"] > 1000, "what waits is bounded, what is dropped is counted")


def mixed():
    """Another stream takes over, named as the stream itself is: beside the configuration, or by the environment."""
    place = Place()
    for name, turn in (("day.h5", 0), ("night.h5", 1)):
        x = np.random.default_rng(turn).random((4000, 3), np.float32)
        with h5py.File(place.at(name), "w") as f:
            f["x"], f["y"] = x, ((x[:, 0] + x[:, 1] > 1) ^ turn).astype(np.int32)
            f.attrs.update(format="tensair-stream", version=1, records=4000, classes=2, scale=1.0)
    os.environ["NIGHT"] = place.path
    place.write("run.yaml", CONFIG.replace("{generator: sea, batch: 16}", "{file: day.h5, batch: 16, inject_drift: ["
                                           "{type: mix, at: 1000, width: 500, file: night.h5},"
                                           "{type: mix, at: 3000, file: '${NIGHT}/day.h5'}]}"))
    place.train("--set", "online.predictions=yes")
    label = logs(place)[0]["label"][:]
    day, night = (h5py.File(place.at(n), "r")["y"][:] for n in ("day.h5", "night.h5"))
    for part, wanted in ((slice(0, 1000), day), (slice(1500, 3000), night), (slice(3000, 4000), day)):
        check((label[part] == wanted[part]).all(), f"labels of records {part}")
    share = (label[1000:1500] == night[1000:1500]).mean()
    check(0.6 < share < 0.9, f"half way {share} are as in the second stream")
    place.write("run.yaml", CONFIG.replace("batch: 16}", "batch: 16, inject_drift: [{type: mix, at: 1, file: dusk.h5}]}"))
    _, err = place.train(run_dir="none", expect=74)
    one_line(err, "stream.inject_drift[0].file", "dusk.h5")


def answers():
    place = Place(DRIFT)
    base = None
    for answer in ("", "{type: raise_rate, factor: 3}", "{type: reset_optimizer}", "{type: reset_head}",
                   "{type: rehearse, policy: balanced, room: 200, records: 4000}",
                   "{type: reset_head}, {type: reset_optimizer}, {type: raise_rate}, {type: rehearse}"):
        place.write("run.yaml", DRIFT + f"  answers: [{answer}]\n" if answer else DRIFT)
        run = "run%d" % len(answer)
        place.train(run_dir=run)
        end = windows(place, run)[-1]
        late = [w["accuracy"] for w in windows(place, run) if w["records"] > 45000]
        check(max(late) > 0.85, f"{answer}: came back to {max(late)}")
        base = base or end
        if "rehearse" in answer:
            check(end["steps"] > base["steps"], f"{answer}: no steps on remembered records")


def goes_on():
    """A stopped run goes on at the same change."""
    place = Place(DRIFT)
    place.train("--set", "run.max_records=40000")
    before = windows(place)[-1]["change"]
    place.train("--set", "run.max_records=60000")
    after = [w for w in windows(place) if w["epoch"] == 2]
    check(after and after[0]["change"] >= before > 0, f"change {before}, then {after[0]['change']}")


def whole(place, run_dir):
    return [name for name in place.checkpoints(run_dir) if name.isdigit()]  # not one that is about to get its name


def newest(place, run_dir):
    return place.at(run_dir, "checkpoint", whole(place, run_dir)[-1])


def weights(place, run_dir):
    found = []
    with h5py.File(os.path.join(newest(place, run_dir), "model.h5"), "r") as f:
        f.visititems(lambda name, thing: found.append(thing[()].tobytes()) if isinstance(thing, h5py.Dataset) else None)
    return found


def kill(place, *extra, run_dir):
    """Killed outright, some way behind a checkpoint that was written in the middle."""
    process = place.start(*extra, "--set", "pace.type=constant", "--set", "pace.rate=4000", run_dir=run_dir)
    place.wait_for(lambda: whole(place, run_dir), process, what="a checkpoint")
    for pid in [*replicas_of(process.pid).values(), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    return int(os.path.basename(newest(place, run_dir)))


def late_labels_go_on():
    """Every label that comes is trained on once, though the run is killed while records wait: to the bit with one replica,
    by count with as many and with another number."""
    place = Place(CONFIG.replace("4000}", "4001}"))  # the last batch is short
    late = ("--set", "online.label_delay=700", "--set", "checkpoint.every_records=640", "--set", "checkpoint.keep=9")
    place.train(*late, run_dir="whole")
    steps = kill(place, *late, run_dir="parts")
    with h5py.File(place.at("parts", "checkpoint", f"{steps:09}", "replica-00000.h5"), "r") as f:
        check(f["waiting/record"].shape[0] >= 700 and f["waiting/x"].shape[1] == 3, "nothing waits in the checkpoint")
    place.train(*late, run_dir="parts")
    check(weights(place, "whole") == weights(place, "parts"), "another run, now that it was killed")
    last = [windows(place, d)[-1] for d in ("whole", "parts")]
    for key in ("records", "steps", "waiting", "accuracy_all"):
        check(last[0][key] == last[1][key], f"{key}: {last[0][key]} and {last[1][key]}")
    check(last[0]["records"] == 3301 and last[0]["waiting"] == 700, f"{last[0]['records']} scored")
    for n in (3, 2):
        run = f"dealt{n}"
        kill(place, *late, "-n", 3, run_dir=run)
        place.train(*late, "-n", n, run_dir=run)
        trained, waiting = 0, []
        for name in sorted(glob.glob(os.path.join(newest(place, run), "replica-*.h5"))):
            with h5py.File(name, "r") as f:
                trained = f.attrs["total_records"]
                waiting += list(f["waiting/record"][()]) if "waiting" in f else []
        check(len(set(waiting)) == len(waiting) and trained + len(waiting) == 4001, f"{n}: {trained} trained, {len(waiting)} wait")
        check(min(waiting) >= 3301 - 16 * 4 and len(waiting) >= 700, f"{n}: {min(waiting)} still waits")


def raised_rate_goes_on():
    """A learning rate that is raised when a run stops is raised when it goes on, for the records that are left."""
    place = Place()
    raised = ("--set", "online.detector.type=always", "--set", "online.cool_down=1000000", "--set", "online.answers[0].type=raise_rate",
              "--set", "online.answers[0].factor=4", "--set", "online.answers[0].records=2000", "--set", "optimizer.rate=0.001")
    place.train(*raised, run_dir="whole")
    for part in (1280, 4000):
        place.train(*raised, "--set", f"run.max_records={part}", run_dir="parts")
    check(len(place.events("drift", "parts")) == 1, "alarms")
    check(weights(place, "whole") == weights(place, "parts"), "the rate is another one")


def bad_losses():
    """Losses that are not finite say nothing: no alarm, no plateau, no sum that is spoiled; the run ends and goes on."""
    place = Place(CONFIG.replace("cross_entropy", "squared_error"))
    wild = ("--set", "optimizer.type=sgd", "--set", "optimizer.rate=100000", "--set", "online.detector.type=optwin",
            "--set", "online.mode=auto", "--set", "online.plateau.stretch=100", "--set", "online.plateau.patience=2",
            "--set", "model.layers[1].activation=none")
    place.train(*wild, "--set", "run.max_records=1600")
    last = windows(place)[-1]
    check(last["skipped_steps"] > 50, f"{last['skipped_steps']} steps were dropped: the losses are finite")
    check(last["alarms"] == 0 and last["change"] == 0 and last["training"], f"{last}")
    check(last["loss_all"] is None or last["loss_all"] == last["loss_all"], f"loss {last['loss_all']}")
    with h5py.File(os.path.join(newest(place, "run"), "replica-00000.h5"), "r") as f:
        check(f.attrs["score_lossless"] > 0 and np.isfinite(f.attrs["score_loss_sum"]), "nothing was infinite")
    place.train(*wild, "--set", "run.max_records=3200")
    check(windows(place)[-1]["records"] == 3200, "it did not go on")


def refused():
    place = Place()
    for setting, part in (("online.mode=auto", "online.detector"), ("online.mode=sometimes", "sometimes"),
                          ("online.detector.type=optwn", "did you mean 'optwin'"),
                          ("online.answers[0].type=reset_head", "nobody looks for drift"),
                          ("online.plateau.factor=0.5", "factor"), ("stream.inject_drift[0].type=mix", "file")):
        _, err = place.train("--set", setting, expect=2)
        one_line(err, part)


for test in (cycle, together, predictions, missing_labels, mixed, answers, goes_on, late_labels_go_on, raised_rate_goes_on, bad_losses,
             refused):
    test()
    print("ok", test.__name__)
