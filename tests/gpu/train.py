"""Whole runs on the make-believe GPU, as a person starts them: beside the CPU's, several replicas that agree, from one
device to the other and back, what is served, GPUs that are missing, full or lost, gradients that are no numbers."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("SOURCE_DIR", "."), "tests", "run"))
try:
    import h5py
    import numpy as np
except ImportError as missing:
    print("SKIPPED:", missing)
    sys.exit(77)

from harness import TENSAIR, Place, check, contains, fail, nothing_left  # noqa: E402

PLUGINS = os.path.join(os.environ.get("BUILD_DIR", "build"), "tests", "gpu", "fake")
LOCK_STEP = ("--set", "exchange.max_staleness=0")

MLP = """\
run: {seed: 7, max_records: 800}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: momentum, rate: 0.01, clip_norm: 1}
"""

CNN = """\
run: {seed: 3, epochs: 1}
stream: {file: images.h5, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: conv2d, filters: 4, kernel: 3, activation: relu}
    - {type: max_pool, pool: 2}
    - {type: batch_norm}
    - {type: flatten}
    - {type: dense, units: 3, activation: softmax}
optimizer: {type: momentum, rate: 0.01}
"""

WORDS = """\
run: {seed: 1}
stream: {file: words.h5, batch: 1}
model: {type: skipgram, dim: 16, window: 3, negative: 3, sample: -1, vocabulary: 60, admit: 1}
optimizer: {type: sgd, rate: 0.025, schedule: linear}
"""

GUARDED = "strict=1"  # the CPU may not touch the device's memory: costly, so for some runs


def surroundings(options=""):
    options = options or "strict=0"
    return dict(os.environ, TENSAIR_PLUGINS=PLUGINS,
                TENSAIR_FAKE_GPU=options if "strict" in options else options + ",strict=0")


def train(place, device, *arguments, options="", **more):
    return place.train("--device", device, *arguments, env=surroundings(options), **more)


def images(place, records=168):
    rng = np.random.default_rng(5)
    y = rng.integers(0, 3, records).astype(np.int32)
    x = rng.random((records, 8, 8, 1), np.float32)
    x += y[:, None, None, None] * np.linspace(0, 1, 8, dtype=np.float32)[None, :, None, None]
    with h5py.File(place.at("images.h5"), "w") as f:
        f["x"], f["y"] = x, y
        f.attrs.update(format="tensair-stream", version=1, records=records, scale=1.0, classes=3)


def weights(place, run_dir):
    newest = place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1], "model.h5")
    found = {}
    with h5py.File(newest, "r") as f:
        f["model_weights"].visititems(lambda n, t: found.__setitem__(n, t[()]) if isinstance(t, h5py.Dataset) else None)
    return found


def near(one, other, most, what):
    check(one.keys() == other.keys(), f"{what}: other tensors")
    for name in one:
        gap = np.abs(one[name] - other[name]).max()
        check(gap <= most, f"{what}: {name} is {gap} away")


def devices(place, run_dir="run"):
    with open(place.at(run_dir, "manifest.json")) as file:
        return json.load(file)["devices"]


def agreed(place, replicas, run_dir="run"):
    rests = place.events("rest", run_dir)
    check(len(rests) >= replicas, f"{len(rests)} of {replicas} came to rest")
    last = {r["rank"]: r["checksum"] for r in rests}
    check(len(set(last.values())) == 1, f"replicas disagree at rest: {rests}")


def beside_the_cpu():
    for config, make in ((MLP, None), (CNN, images)):
        place = Place(config)
        if make is not None:
            make(place)
        train(place, "cpu", run_dir="cpu")
        out, _ = train(place, "cuda", run_dir="cuda", options=GUARDED)
        contains(out, "device       GPU 0 of 1, Make-believe GPU", "driver for CUDA 13.", "cuDNN 9.", "float32")
        near(weights(place, "cpu"), weights(place, "cuda"), 2e-3, "weights after a run on either")
        cpu, cuda = (place.metrics(d, "summary")[0] for d in ("cpu", "cuda"))
        check(cpu["steps"] == cuda["steps"] and abs(cpu["loss_all"] - cuda["loss_all"]) < 1e-3, f"{cpu} {cuda}")
        found = devices(place, "cuda")
        check(len(found) == 1 and found[0]["ranks"] == [0] and "Make-believe" in found[0]["device"], f"manifest: {found}")
        check(devices(place, "cpu")[0]["device"].startswith("CPU"), "the CPU in the manifest")
        out, _ = train(place, "cuda", "--set", "device.compute=bfloat16", run_dir="short")
        contains(out, "bfloat16")
        short = place.metrics("short", "summary")[0]
        check(0 < abs(short["loss_all"] - cuda["loss_all"]) < 0.02, f"in bfloat16 {short['loss_all']}")
        train(place, "cuda", run_dir="late", options="order=random:3")
        near(weights(place, "late"), weights(place, "cuda"), 1e-6, "weights after work in another order")


def chosen():
    """auto: a GPU where there is one; the CPU, with the reason in the log, where there is none, or it is needed."""
    place = Place(MLP)
    log = lambda run: open(place.at(run, "log", "rank-00000.log")).read()
    few = ("--set", "run.max_records=160")
    out, _ = place.train(*few, env=surroundings(), run_dir="there")
    contains(out, "device       GPU 0")
    out, _ = place.train(*few, env=surroundings("no_driver"), run_dir="none")
    contains(out, "device       CPU")
    contains(log("none"), "computes on CPU", "driver")
    out, _ = place.train(*few, "--set", "exchange.type=dasgd", env=surroundings(), run_dir="needed")
    contains(out, "device       CPU")
    contains(log("needed"), "exchange.type: dasgd needs it")


def several():
    place = Place(MLP)
    out, _ = train(place, "cuda", "-n", 3, options=GUARDED, timeout=60)
    contains(out, "3 replicas")
    agreed(place, 3)
    found = devices(place)
    check(len(found) == 1 and found[0]["ranks"] == [0, 1, 2], f"one GPU for all: {found}")
    nothing_left(place)
    train(place, "cuda", "-n", 3, "--replicas-per-gpu", 2, run_dir="two", options="devices=2")
    agreed(place, 3, "two")
    ranks = {d["device"][:5]: d["ranks"] for d in devices(place, "two")}
    check(ranks == {"GPU 0": [0, 1], "GPU 1": [2]}, f"two a GPU: {ranks}")
    _, err = train(place, "cuda", "-n", 3, "--replicas-per-gpu", 1, run_dir="many", options="devices=2", expect=2)
    contains(err, "3 replicas on this machine", "2 GPUs", "device.replicas_per_gpu: 1", "raise it to 2")
    # In lock-step each gradient is of the weights all have: what one device makes of it, the other does too.
    train(place, "cuda", "-n", 2, *LOCK_STEP, run_dir="step_cuda")
    train(place, "cpu", "-n", 2, *LOCK_STEP, run_dir="step_cpu")
    near(weights(place, "step_cpu"), weights(place, "step_cuda"), 2e-3, "weights in lock-step")


def launchers():
    """Tasks of a batch system, a replica each: by their local rank, or, where each is shown one GPU, the one it sees."""
    place = Place(MLP)
    for options, visible, expected in (("devices=2", None, {"GPU 0 of 2": 0, "GPU 1 of 2": 1}),
                                       ("devices=1", "1", {"GPU 0 of 1": 0})):
        started, run_dir = [], options
        for rank in range(2):
            env = dict(surroundings(options), RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2")
            more = ()
            if visible is not None:
                env["CUDA_VISIBLE_DEVICES"] = visible
                more = ("--replicas-per-gpu", 1)
            started.append(place.start("--device", "cuda", *more, env=env, run_dir=run_dir))
        said = [p.communicate(timeout=60) for p in started]
        check(all(p.returncode == 0 for p in started), f"{said}")
        agreed(place, 2, run_dir)
        logs = [open(place.at(run_dir, "log", f"rank-{r:05}.log")).read() for r in range(2)]
        for name, rank in expected.items():
            check(name in logs[rank], f"rank {rank} is not on {name}: {logs[rank]}")


def without_ipc():
    """Where processes cannot share GPU memory, what is put goes through the CPU's, and they agree all the same."""
    place = Place(MLP)
    train(place, "cuda", "-n", 2, options="no_ipc")
    agreed(place, 2)
    train(place, "cuda", "-n", 2, "--set", "transport.gpu_direct=require", options="no_ipc", run_dir="require", expect=69)


def there_and_back():
    """Checkpoints are the same files: from a GPU to the CPU and back, the steps go on where they were."""
    place = Place(MLP)
    train(place, "cpu", run_dir="whole")
    for records, device in ((240, "cuda"), (480, "cpu"), (800, "cuda")):
        train(place, device, "--set", f"run.max_records={records}", run_dir="moved")
    near(weights(place, "whole"), weights(place, "moved"), 2e-3, "weights of a run that moved")
    steps = [s["steps"] for s in place.metrics("moved", "summary")]
    check(place.checkpoints("moved")[-1] == place.checkpoints("whole")[-1] == "000000050", f"steps {steps}")


def words():
    """Tables of rows, and a vocabulary found while the text arrives, in the memory of a GPU and out of it again."""
    place = Place(WORDS)
    rng = np.random.default_rng(2)
    place.write("words.txt", "\n".join(" ".join(f"w{i}" for i in rng.integers(0, 50, 10)) for _ in range(1400)))
    subprocess.run([TENSAIR, "data", "import", "text", place.at("words.txt"), "--online", "-o", place.at("words.h5")],
                   check=True, stdout=subprocess.DEVNULL)
    for records, device in ((10, "cuda"), (16, "cpu"), (22, "cuda")):
        train(place, device, "-n", 2, "--set", f"run.max_records={records}", options=GUARDED)
        rests = place.events("rest")[-2:]
        check(len(rests) == 2 and len({r["checksum"] for r in rests}) == 1, f"{device}: {rests}")
    told = subprocess.run([TENSAIR, "ckpt", "export", place.at("run"), "--words", "text", "-o", place.at("w.vec")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(told.returncode == 0, told.stdout)
    names = [line.split()[0] for line in open(place.at("w.vec")).read().splitlines()[1:]]
    check(len(names) > 20 and all(re.fullmatch(r"w\d+", n) for n in names), f"words: {names}")


def served():
    place = Place(CNN)
    images(place)
    train(place, "cpu")
    said = {}
    for device in ("cpu", "cuda"):
        command = [TENSAIR, "predict", place.at("run"), "--stream", place.at("images.h5"), "--device", device, "--quiet",
                   "--run-dir", place.at(device), "-o", place.at(device + ".h5")]
        done = subprocess.run(command, cwd=place.path, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60)
        check(done.returncode == 0, done.stdout)
        with h5py.File(place.at(device + ".h5"), "r") as f:
            said[device] = f["prediction"][()], f["confidence"][()]
    check("Make-believe" in devices(place, "cuda")[0]["device"], "predicted on the CPU")
    (classes, sure), (others, surely) = said["cpu"], said["cuda"]
    check(classes.shape == (168,) and (classes == others).all(), "other classes")
    check(np.abs(sure - surely).max() < 1e-4 and len(np.unique(sure)) > 100, f"{np.abs(sure - surely).max()} apart")


def missing():
    place = Place(MLP)
    _, err = train(place, "cuda", options="no_driver", expect=69)
    contains(err, "driver", "device.type: cpu")
    _, err = train(place, "cuda", options="driver=12000", expect=69)
    contains(err, "12.0", "13.")
    _, err = train(place, "cuda", options="devices=0", expect=69)
    contains(err, "no GPU", "nvidia-smi")
    _, err = train(place, "cuda", "--set", "device.number=3", options="devices=2", expect=2)
    contains(err, "3", "2")
    _, err = train(place, "cpu", "--set", "device.compute=bfloat16", expect=2)
    contains(err, "device.compute", "bfloat16")
    _, err = train(place, "cuda", "-n", 4, "--set", "exchange.type=dasgd", expect=2)
    check(len(err.splitlines()) == 1 and "done by the CPU alone" in err, f"once, before anybody is started: {err}")


def full():
    """How much was asked for, how much there is, what to lower; at the start, and when another net is made in mid-run."""
    place = Place(MLP)
    _, err = train(place, "cuda", "--set", "model.layers[0].units=200000", options="memory=2M", expect=None)
    contains(err, "no room", "asked for", "2097152", "stream.batch", "--replicas-per-gpu")
    for after in range(1, 60, 6):
        run_dir = f"after{after}"
        done = subprocess.run(place.command("--device", "cuda", "-n", 2, run_dir=run_dir), cwd=place.path, timeout=60,
                              env=surroundings(f"oom_after={after}"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            agreed(place, 2, run_dir)
            break
        check(done.returncode in (1, 69) and "no room" in done.stderr, f"after {after}: {done.returncode}\n{done.stderr}")
        nothing_left(place, run_dir)


def lost():
    """One of three GPUs is lost in mid-run: that replica says so and leaves, the others train on, and agree."""
    place = Place(MLP)
    out, err = train(place, "cuda", "-n", 3, "--set", "run.max_records=4800", expect=69,
                     options="devices=3,lose_after=60,lose_device=1")
    contains(err, "rank 1", "replica 1")
    contains(out, "lost         1 of 3 replicas (rank 1)", "checkpoint   " + place.at("run"))
    rests = [r for r in place.events("rest") if r["round"] == "last" or r["rank"] != 1]
    check({r["rank"] for r in rests} == {0, 2} and len({r["checksum"] for r in rests[-2:]}) == 1, f"survivors: {rests}")
    gone = [e for e in place.events("peer_lost")]
    check({e["rank"] for e in gone} == {0, 2}, f"who saw it: {gone}")


def no_number():
    """Gradients that are not finite are dropped and counted; or the run stops, with a checkpoint of the state before."""
    wild = ("--set", "model.loss=squared_error", "--set", "model.layers[1].units=1", "--set",
            "model.layers[1].activation=none", "--set", "optimizer.rate=1e6", "--set", "optimizer.clip_norm=0")
    for device in ("cpu", "cuda"):
        place = Place(MLP)
        _, err = train(place, device, *wild, "--set", "optimizer.on_nan=stop", expect=1)
        contains(err, "rank 0", "on_nan", "not finite", "layer 'dense")
        step = int(re.search(r"gradient of step (\d+)", err).group(1))
        check(place.checkpoints()[-1] == f"{step - 1:09}", f"step {step}: {place.checkpoints()}")
        for name, tensor in weights(place, "run").items():
            check(np.isfinite(tensor).all(), f"{name} was saved with what is no number")
        train(place, device, *wild, run_dir="on", expect=None)
        check(place.metrics("on", "summary")[0]["skipped_steps"] > 0, "nothing was dropped")


def doctor():
    def ask(options, *arguments):
        done = subprocess.run([TENSAIR, "doctor", "--json", *arguments], env=surroundings(options), timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return {f["name"]: f for f in json.loads(done.stdout) if f["section"] == "GPU"}
    found = ask("devices=2")
    check(all(found[n]["state"] == "ok" for n in ("plugin", "CUDA", "CUDA 0", "CUDA 1", "cuDNN", "peer access", "IPC")), f"{found}")
    contains(found["CUDA 0"]["value"], "Make-believe GPU", "1 GiB", "compute capability")
    found = ask("no_ipc,no_peer,devices=2")
    check(found["IPC"]["state"] == "note" and found["IPC"]["cure"] and found["peer access"]["state"] == "note", f"{found}")
    found = ask("no_driver")
    check(found["CUDA"]["state"] == "missing" and "driver" in found["CUDA"]["value"], f"{found['CUDA']}")


def bench():
    done = subprocess.run([TENSAIR, "bench", "kernels", "--device", "cuda", "--model", "mnist", "--batch", "2", "--seconds",
                           "0.01", "--raw"], env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=100)
    check(done.returncode == 0 and float(done.stdout) > 0, done.stdout)


if not os.path.exists(os.path.join(PLUGINS, "tensair-cuda.so")):
    print(f"SKIPPED: {PLUGINS} holds no plugin")
    sys.exit(77)
tests = [beside_the_cpu, chosen, several, launchers, without_ipc, there_and_back, words, served, missing, full, lost,
         no_number, doctor, bench]
for test in tests:
    if len(sys.argv) > 1 and test.__name__ not in sys.argv[1:]:
        continue
    test()
    print("ok", test.__name__, flush=True)
