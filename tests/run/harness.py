"""What the scripts here share: a folder of their own, a small configuration, running and watching the program."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

TENSAIR = os.environ.get("TENSAIR") or sys.exit("TENSAIR names the program; run me through ctest")

CONFIG = """\
run: {seed: 7, max_records: 4000}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 16, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: adam, rate: 0.01}
"""


class Place:
    """A temporary folder with run.yaml in it, removed at the end."""

    def __init__(self, config=CONFIG):
        self.folder = tempfile.TemporaryDirectory(prefix="tensair-test-")
        self.path = self.folder.name
        self.write("run.yaml", config)

    def at(self, *parts):
        return os.path.join(self.path, *parts)

    def write(self, name, text):
        with open(self.at(name), "w") as file:
            file.write(text)
        return self.at(name)

    def command(self, *arguments, config="run.yaml", run_dir="run"):
        """Silence is no death here unless a test says so: on a busy machine a core may be away for seconds."""
        command = [TENSAIR, "train", self.at(config), "--quiet", "--set", "exchange.dead_after=30"]
        if run_dir is not None:
            command += ["--run-dir", self.at(run_dir)]
        return command + [str(a) for a in arguments]

    def train(self, *arguments, config="run.yaml", run_dir="run", expect=0, timeout=120, **more):
        """Runs to the end; the exit status must be as expected. Returns (stdout, stderr)."""
        done = subprocess.run(self.command(*arguments, config=config, run_dir=run_dir), cwd=self.path, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
        if expect is not None and done.returncode != expect:
            fail(f"{arguments}: exit status {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
        return done.stdout, done.stderr

    def start(self, *arguments, config="run.yaml", run_dir="run", **more):
        return subprocess.Popen(self.command(*arguments, config=config, run_dir=run_dir), cwd=self.path,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def metrics(self, run_dir="run", kind=None):
        """Of all nodes: each has a file of its own."""
        lines = []
        folder = self.at(run_dir)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in [n for n in names if n.startswith("metrics") and n.endswith(".jsonl")]:
            with open(os.path.join(folder, name)) as file:
                for text in file:
                    if text.endswith("\n"):
                        lines.append(json.loads(text))
        return [line for line in lines if kind is None or line["kind"] == kind]

    def events(self, event, run_dir="run"):
        return [line for line in self.metrics(run_dir, "event") if line["event"] == event]

    def checkpoints(self, run_dir="run"):
        folder = self.at(run_dir, "checkpoint")
        if not os.path.isdir(folder):
            return []
        return sorted(n for n in os.listdir(folder) if os.path.exists(os.path.join(folder, n, "DONE")))

    def wait_for(self, condition, process=None, seconds=90, what="what should happen"):
        end = time.monotonic() + seconds
        while not condition():
            if process is not None and process.poll() is not None:
                out, err = process.communicate()
                fail(f"the program ended ({process.returncode}) before {what}\n{out}\n{err}")
            if time.monotonic() > end:
                fail(f"{what} did not happen within {seconds} s")
            time.sleep(0.01)

    def training(self, replicas, run_dir="run", life=1):
        starts = [e for e in self.events("start", run_dir) if e["epoch"] == life]
        return len(starts) == replicas


def fail(text):
    print("FAILED:", text)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


def contains(text, *parts):
    for part in parts:
        check(part in text, f"'{part}' is not in:\n{text}")


def one_line(err, *parts):
    lines = [l for l in err.splitlines() if l.strip()]
    check(len(lines) == 1, f"not one line:\n{err}")
    contains(lines[0], *parts)


def replicas_of(launcher):
    """Process ids of the replicas a launcher has started, by rank."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            if parent != launcher:
                continue
            with open(f"/proc/{name}/environ", "rb") as file:
                pairs = dict(p.split(b"=", 1) for p in file.read().split(b"\0") if b"=" in p)
        except (OSError, ValueError):
            continue
        if b"TENSAIR_RANK" in pairs:
            found[int(pairs[b"TENSAIR_RANK"])] = int(name)
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def left_behind(place):
    """Processes of this program that still work in the test's folder."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read().decode(errors="replace")
        except OSError:
            continue
        if place.path in line and alive(int(name)):
            found.append((int(name), line.replace("\0", " ")))
    return found


def nothing_left(place, run_dir="run", seconds=30):
    place.wait_for(lambda: not left_behind(place), seconds=seconds, what="the end of all processes")
    names = os.listdir(place.at(run_dir))
    check("rendezvous" not in names and "lock" not in names, f"left behind in the run directory: {names}")


def finish(process, expect, timeout=120):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        fail(f"did not end within {timeout} s")
    if expect is None:
        return process.returncode, out, err
    check(process.returncode == expect, f"exit status {process.returncode}, not {expect}\n{out}\n{err}")
    return out, err
