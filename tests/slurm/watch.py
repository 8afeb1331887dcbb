"""`tensair watch`, `report` and `submit` on run directories made to order: torn lines, several files, new lives, silence."""
import json
import os
import subprocess
import sys
import tempfile
import time

TENSAIR = os.environ.get("TENSAIR") or sys.exit("TENSAIR names the program; run me through ctest")


def fail(text):
    print("FAILED:", text)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


class Run:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tensair-watch-")
        self.path = self.folder.name

    def manifest(self, code, **more):
        text = json.dumps({"schema": 1, "replicas": 4, "exit_code": code, "start": "S", "end": None, "summary": None, **more})
        with open(os.path.join(self.path, "new"), "w") as file:
            file.write(text)
        os.rename(os.path.join(self.path, "new"), os.path.join(self.path, "manifest.json"))

    def write(self, text, node=0):
        name = "metrics.jsonl" if node == 0 else f"metrics-{node:05}.jsonl"
        with open(os.path.join(self.path, name), "a") as file:
            file.write(text)

    def line(self, node=0, rank=0, epoch=1, kind="window", **more):
        wall = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.write(json.dumps(dict(schema=1, kind=kind, rank=rank, epoch=epoch, t_s=1.5, wall=wall, **more)) + "\n", node)

    def window(self, rank, dead=(), **more):
        peers = [{"rank": p, "life": "dead" if p in dead else "live"} for p in range(6) if p != rank]
        self.line(rank=rank, records=1000, records_per_s=500.5, loss=0.5, accuracy=0.75, lag_s=None, s_avg=1.0, s_max=3,
                  dropped=0, peers=peers, **more)

    def call(self, *arguments, expect=0, **more):
        done = subprocess.run([TENSAIR, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                              cwd=self.path, **more)
        check(done.returncode == expect, f"{arguments}: exit status {done.returncode}, not {expect}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def report():
    run = Run()
    run.call("report", "nothing", expect=74)
    run.write("{}")
    run.call("report", ".", expect=74)
    run.manifest(None)
    os.remove(os.path.join(run.path, "metrics.jsonl"))
    for rank in range(4):
        run.window(rank, node=rank % 2, dead=(2,) if rank != 2 else ())
    run.window(4, node=1)
    run.line(kind="drift", record=7)
    run.write('{"torn\n[1]\n{"kind":"window"}\n' + "{" * 5000 + "\n")
    text = run.call("report", ".")
    for part in ("has not ended", "lost 1 (ranks 2)", "joined 1 (ranks 4)", "1 alarms", "records      5,000", "75.00 %"):
        check(part in text, f"no '{part}' in\n{text}")
    run.call("report", ".", "--exit-code", expect=1)
    run.manifest(69, summary={"records": 9, "records_per_s": 3.0, "seconds": 3, "accuracy_all": 0.5, "lost": 1, "s_avg": 1, "s_max": 2,
                              "latency": {"visible": {"p50_s": 0.001, "p99_s": 0.25}}, "checkpoint": "C"})
    check(run.call("report", ".", "--exit-code").strip() == "69", "exit code")
    told = json.loads(run.call("report", ".", "--json"))
    check(told["lost_ranks"] == [2] and told["joined_ranks"] == [4] and told["torn_lines"] == 3, f"{told}")
    check("visible 1.00 / 250.00 ms" in run.call("report", "."), "latency")
    check(len(run.call("report", ".", run.path).splitlines()) == 3, "a row each")
    check(len(json.loads(run.call("report", ".", ".", "--json"))) == 2, "an array of two")
    for bad in ([], ["--what", "."], [".", "--json", "--exit-code"], [".", ".", "--exit-code"]):
        run.call("report", *bad, expect=2)


def watch():
    run = Run()
    run.call("watch", "nothing", expect=74)
    run.call("watch", ".", "--give-up", "x", expect=2)
    text = run.call("watch", ".", "--give-up", "1.5", expect=69)
    check("nothing heard yet" in text and "nothing heard for" in text, text)
    run.manifest(75)
    run.window(0)
    run.line(rank=-1, kind="summary", exit_code=75, records=1234)
    check("stopped after a checkpoint  1,234 records in 1 life" in run.call("watch", ".", expect=75), "75")
    process = subprocess.Popen([TENSAIR, "watch", ".", "--requeued"], cwd=run.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    time.sleep(1.2)
    run.manifest(None)
    run.window(1, epoch=2, dead=(3,), node=1)
    run.write('{"schema":1,"kind":"sum')  # a line that is still being written
    time.sleep(1.2)
    check(process.poll() is None, "ended in the middle of a line")
    run.write('mary","rank":-1,"epoch":2,"exit_code":69,"records":5}\n')
    run.manifest(69)
    out, _ = process.communicate(timeout=30)
    check(process.returncode == 69, f"{process.returncode}\n{out}")
    for part in ("waiting for the next life", "ended  5 records in 2 lives  1 lost (ranks 3)", "exit status 69"):
        check(part in out, f"no '{part}' in\n{out}")


def lost():
    run = Run()
    run.window(0, dead=(1,))  # of before: none of our business
    process = subprocess.Popen([TENSAIR, "watch", ".", "--lost"], cwd=run.path, stdout=subprocess.PIPE, text=True)
    check(process.stdout.readline() == "watching\n", "watching")
    for dead in ((2,), (2, 3), (2, 3)):
        run.window(0, dead=dead)
        time.sleep(0.1)
    run.manifest(69)
    run.line(rank=-1, kind="summary", exit_code=69)
    out, _ = process.communicate(timeout=30)
    check(process.returncode == 0 and out == "2\n3\n", f"{process.returncode} {out!r}")


def terminal():
    run = Run()
    run.manifest(0)
    for rank in range(4):
        run.window(rank, dead=(2,) if rank != 2 else ())
    run.line(rank=-1, kind="summary", exit_code=0)
    environment = dict(os.environ, TERM="xterm", COLUMNS="60")
    out = subprocess.run(["script", "-qec", f"'{TENSAIR}' watch .", "/dev/null"], cwd=run.path, env=environment, timeout=30,
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout
    check("\033[1m" in out and "1 lost: rank 2" in out and "4,000 records" in out, out)
    plain = subprocess.run(["script", "-qec", f"'{TENSAIR}' watch .", "/dev/null"], cwd=run.path, timeout=30,
                           env=dict(environment, NO_COLOR="1"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout
    check("\033[1m" not in plain and "\033[31m" not in plain, "colour though NO_COLOR")


def submit():
    run = Run()
    with open(os.path.join(run.path, "my run.yaml"), "w") as file:
        file.write("stream: {generator: sea}\nmodel: {loss: cross_entropy, layers: [{type: dense, units: 2}]}\n")
    text = run.call("submit", "my run.yaml", "--nodes", "2", "--array", "3-5", "--set", "run.seed=%a", "--dry-run")
    check("#SBATCH --job-name=my_run\n" in text and "arguments=(--set run.seed=%a)" in text, text)
    check(os.listdir(run.path) == ["my run.yaml"], "a dry run writes nothing")
    for bad, part in ((["--set", "run.sed=1"], "did you mean 'seed'"), (["--nodes", "0"], "--nodes 0"), (["-n", "3", "--nodes", "2"], "multiple of 2"),
                      (["--partition", "a b"], "cannot stand"), (["--signal-ahead", "5"], "from 10"), (["--nope"], "--nope"),
                      (["--array", "x"], "begin with a number"),
                      (["--array", "1-2", "--set", "run.seed=x%a"], "x1")):
        check(part in run.call("submit", "my run.yaml", "--dry-run", *bad, expect=2), f"{bad}: {part}")
    text = run.call("submit", "my run.yaml", "--run-dir", "r", expect=69, env=dict(os.environ, PATH="/nowhere"))
    check("no 'sbatch' in PATH" in text and os.path.exists(os.path.join(run.path, "r", "train.sbatch")), text)
    for says, code in (("Batch job submission failed: Invalid partition name specified", 2),
                       ("Batch job submission failed: Unable to contact slurm controller (connect failure)", 69)):
        with open(os.path.join(run.path, "sbatch"), "w") as file:
            file.write(f"#!/bin/sh\necho 'sbatch: error: {says}' >&2\nexit 1\n")
        os.chmod(os.path.join(run.path, "sbatch"), 0o755)
        text = run.call("submit", "my run.yaml", "--run-dir", "r", expect=code, env=dict(os.environ, PATH=run.path + ":" + os.environ["PATH"]))
        check(says in text, text)


for test in (report, watch, lost, terminal, submit):
    test()
    print("passed:", test.__name__)
