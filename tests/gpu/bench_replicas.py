"""Whole runs of the program on the device: replicas that share it, all-reduce, too little memory, numbers that are not
finite, the doctor. Part of run.sh."""
import json
import os
import random
import re
import tempfile

from bench_programs import said

LAYERS = """
model:
  input: [{side}, {side}, 3]
  loss: cross_entropy
  layers:
    - {{type: conv2d, filters: 32, kernel: 3, activation: relu}}
    - {{type: max_pool, pool: 2}}
    - {{type: conv2d, filters: 64, kernel: 3, activation: relu}}
    - {{type: max_pool, pool: 2}}
    - {{type: conv2d, filters: 64, kernel: 3, activation: relu}}
    - {{type: flatten}}
    - {{type: dense, units: 64, activation: relu}}
    - {{type: dense, units: 10, activation: softmax}}
"""


class Runs:
    def __init__(self, place, report):
        self.place, self.report = place, report
        self.folder = tempfile.TemporaryDirectory(prefix="tensair-gpu-")
        self.n = 0

    def at(self, *parts):
        return os.path.join(self.folder.name, *parts)

    def make_stream(self):
        """Pictures of CIFAR-10's shape, classes that can be told apart: a run must learn something."""
        records = 96 if self.place.make_believe else 16384
        draw = random.Random(1)
        means = [int.from_bytes(bytes(draw.randrange(30, 190) for _ in range(3072)), "big") for _ in range(10)]
        low = int.from_bytes(b"\x3f" * 3072, "big")  # 0 .. 63 on top: no byte runs over
        with open(self.at("data_batch_1.bin"), "wb") as file:
            for _ in range(records):
                label = draw.randrange(10)
                file.write(bytes([label]) + (means[label] + (draw.getrandbits(8 * 3072) & low)).to_bytes(3072, "big"))
        code, out, err = self.place.run(self.place.tensair, "data", "import", "cifar10", self.at("data_batch_1.bin"),
                                        "-o", self.at("s.h5"), seconds=self.report.left(60))
        if code != 0:
            raise RuntimeError(f"the stream: {said(out, err)}")
        with open(self.at("c.yaml"), "w", encoding="utf-8") as file:
            file.write("run: {seed: 1}\nstream: {file: s.h5, batch: 128}\n" + LAYERS.format(side=32)
                       + "optimizer: {type: momentum, rate: 0.01}\nexchange: {type: live, scale: mean}\n")

    def train(self, n, *settings, seconds=60, env=None):
        """(exit status, summary, text of all logs, what it said)."""
        if self.place.make_believe:  # so slow that replicas take each other for dead
            settings = ("exchange.dead_after=60", "stream.batch=16", *settings)
        self.n += 1
        run = self.at(f"run{self.n}")
        sets = [word for setting in settings for word in ("--set", setting)]
        code, out, err = self.place.run(self.place.tensair, "train", self.at("c.yaml"), "-n", n, "--device", "cuda",
                                        "--run-dir", run, "--resume", "never", *sets, seconds=self.report.left(seconds),
                                        cwd=self.folder.name, env=env)
        summary, logs = {}, ""
        if os.path.exists(os.path.join(run, "metrics.jsonl")):
            with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
                summary = next((x for x in map(json.loads, file) if x["kind"] == "summary"), {})
        for name in sorted(os.listdir(os.path.join(run, "log"))) if os.path.isdir(os.path.join(run, "log")) else []:
            with open(os.path.join(run, "log", name), encoding="utf-8", errors="replace") as file:
                logs += file.read()
        return code, summary, logs, err + out

    def epochs(self, n):
        return f"run.epochs={n if not self.place.make_believe else 1}"


def at_rest(logs):
    """The checksums of the weights in the last rest, one a rank."""
    return dict(re.findall(r"rank=(\d+) .*rest: last round.* weights ([0-9a-f]+)", logs))


def replicas(runs):
    """4 replicas share the device: records/s in all, staleness, the same bits in the end; and one, for scale."""
    report, rates = runs.report, {}
    for n, epochs in ((1, 24), (4, 48)):
        name = f"replicas_{n}"
        code, summary, logs, text = runs.train(n, runs.epochs(epochs), seconds=70)
        if code == 69 and not runs.place.make_believe:
            silent = re.search(r"peer \d+ (?:has been silent|is gone)[^\n]*", logs)
            report.failed(f"{name}_by_default", silent.group(0) if silent else said("", text))
            code, summary, logs, text = runs.train(n, runs.epochs(epochs), "exchange.dead_after=30", seconds=70)
        if code != 0:
            report.failed(name, f"exit status {code}: {said('', text)}")
            continue
        where = re.search(r"GPU \d+ of \d+[^\n]*", logs + text)
        report.verdict(where, f"{name}_on_gpu", where.group(0)[:100] if where else "no log names a GPU")
        sums = at_rest(logs)
        agree = len(sums) == n and len(set(sums.values())) == 1
        report.verdict(agree, f"{name}_equal_at_rest", " ".join(sorted(set(sums.values()))) or "no sums")
        rates[n] = summary.get("records_per_s", 0)
        report.figure(f"{name}_records_per_s", rates[n], "records/s")
        if not runs.place.make_believe:
            report.figure(f"{name}_accuracy", 100 * summary.get("accuracy", 0), "%", ">= 50")
        if n > 1:
            report.figure(f"{name}_s_avg", summary.get("s_avg", -1), "updates", ">= 0")
            report.figure(f"{name}_s_max", summary.get("s_max", -1), "updates")
    if len(rates) == 2 and rates[1] > 0:
        report.figure("replicas_4_vs_1", rates[4] / rates[1], "ratio")


def verify(runs):
    """What the last run left passes the program's own verification."""
    code, out, err = runs.place.run(runs.place.tensair, "ckpt", "verify", runs.at(f"run{runs.n}"),
                                    seconds=runs.report.left(30))
    runs.report.verdict(code == 0, "checkpoint_verified", said(out, err)[:100])


def sync(runs):
    """All-reduce of two replicas on one GPU: NCCL wants a GPU a rank, so it is the ring in pinned memory; who insists
    on NCCL is refused with that reason. (Sums by NCCL itself are looked at by the tests on the device.)"""
    code, summary, logs, text = runs.train(2, runs.epochs(8), "exchange.type=sync", seconds=50)
    sums = at_rest(logs)
    carried = re.search(r"sums by NCCL[^\n]*|a ring of 2[^\n]*", logs)
    agree = code == 0 and len(sums) == 2 and len(set(sums.values())) == 1
    runs.report.verdict(agree, "sync_2_equal_at_rest", f"{summary.get('records_per_s', 0):.0f} records/s, "
                        f"{carried.group(0) if carried else 'by the ring'}" if agree else
                        f"exit status {code}: {said('', text)}")
    code, _, logs, text = runs.train(2, runs.epochs(1), "exchange.type=sync", "exchange.collective=nccl", seconds=30)
    refused = code not in (0, 124) and "GPU of its own" in logs + text
    runs.report.verdict(refused or (code == 0 and "sums by NCCL" in logs), "sync_2_by_nccl",
                        "refused, as it must be: one GPU" if refused else f"exit status {code}: {said('', text)}")


def numbers(runs):
    """A rate that blows up: told and counted by `skip`, ended by `stop`."""
    for way in ("skip", "stop"):
        code, summary, logs, text = runs.train(1, runs.epochs(1), "optimizer.type=sgd", "optimizer.rate=1e6",
                                               f"optimizer.on_nan={way}", seconds=40)
        skipped = summary.get("skipped_steps", 0)
        good = code == 0 and skipped > 0 if way == "skip" else code not in (0, 124) and "finite" in logs + text
        runs.report.verdict(good, f"nan_{way}", f"exit status {code}, {skipped} steps skipped"
                            + ("" if good else f": {said('', text)}"))


def memory(runs):
    """Too little memory on the device: refused with what was asked, what is free, and what to lower."""
    report, place = runs.report, runs.place
    if place.make_believe:
        code, _, _, text = runs.train(1, runs.epochs(1), env={"TENSAIR_FAKE_GPU": "memory=1M"}, seconds=40)
    else:
        holder = place.program("gpu_bench_faults")
        if holder is None:
            report.skipped("out_of_memory", "gpu_bench_faults was not built")
            return
        from bench_races import Side, Silent
        side = Side([holder, "hold"], place.env)
        try:
            side.ask("hold 2048", report.left(60))
            code, _, _, text = runs.train(1, runs.epochs(1), "stream.batch=16384", seconds=60)
        except Silent as why:
            report.failed("out_of_memory", why)
            return
        finally:
            side.close()
    good = code not in (0, 124) and re.search(r"free", text) and re.search(r"lower|fewer|smaller|less", text)
    report.verdict(good, "out_of_memory", f"exit status {code}: {said('', text)}")


def doctor(runs):
    code, out, err = runs.place.run(runs.place.tensair, "doctor", seconds=runs.report.left(40), cwd=runs.folder.name)
    lines = [" ".join(line.split()) for line in out.split("\n")
             if re.search(r"GPU|CUDA|cuDNN|NCCL|IPC|peer access|dma-buf", line) and "->" not in line]
    for line in lines:
        print(f"        {line[:150]}", flush=True)
    good = any("GPU" in line for line in lines)
    runs.report.verdict(good, "doctor", f"exit status {code}, {len(lines)} lines on GPUs")
    runs.report.about["doctor"] = lines


def all_runs(place, report):
    if place.tensair is None:
        report.skipped("replicas", "the program was not built")
        return
    runs = Runs(place, report)
    with runs.folder:
        for step in (doctor, Runs.make_stream, replicas, verify, sync, numbers, memory):
            if report.left(60) < 5:
                report.skipped(step.__name__, "no time left")
                continue
            try:
                step(runs)
            except (RuntimeError, OSError, ValueError) as why:
                report.failed(step.__name__, why)
