"""The life of slurm/train.sbatch with stand-ins for Slurm and for `tensair train`: what it starts, forwards and answers."""
import os
import signal
import subprocess
import sys
import tempfile
import time

TENSAIR = os.environ.get("TENSAIR") or sys.exit("TENSAIR names the program; run me through ctest")
SCRIPT = os.path.join(os.environ["SOURCE_DIR"], "slurm", "train.sbatch")

FAKES = {
    # Runs what it is given; notes how it was called; USR1 goes on to its task, as from the real one.
    "srun": """for a in "$@"; do printf '%s\\n' "$a"; done >>"$LOG/srun"; echo >>"$LOG/srun"
while [ "${1#-}" != "$1" ]; do shift; done
trap 'kill -s USR1 $!' USR1
"$@" & while kill -0 $! 2>/dev/null; do wait $!; done; wait $!; code=$?
[ "$code" = 0 ] || code=${SRUN_SAYS:-$code}; exit $code""",
    "scontrol": """echo "$@" >>"$LOG/scontrol"; [ "$1" = requeue ] || printf '%s\\n' a b c d""",
    "squeue": """echo "$SQUEUE_SAYS" """,
}

# `tensair`: trains in the way the test says (HOW), as far as files can tell; everything else is the real program.
PROGRAM = """#!/usr/bin/env python3
import json, os, signal, sys, time
if sys.argv[1] != "train":
    os.execv(os.environ["REAL"], ["tensair"] + sys.argv[1:])
run = sys.argv[sys.argv.index("--run-dir") + 1]
log = os.environ["LOG"]
how = os.environ["HOW"].split()
if "--join" in sys.argv:
    open(os.path.join(log, "joined-" + sys.argv[sys.argv.index("--join") + 1]), "w").close()
    sys.exit(0)
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(99))
def manifest(code):
    with open(run + "/new", "w") as file:
        json.dump({"replicas": 4, "exit_code": code}, file, indent=2)
    os.rename(run + "/new", run + "/manifest.json")
manifest(None)
with open(run + "/metrics.jsonl", "a") as file:
    def line(**more):
        file.write(json.dumps(dict(schema=1, rank=0, epoch=1, t_s=1, **more)) + "\\n")
        file.flush()
    line(kind="event", event="start", text="")
    open(os.path.join(log, "started"), "w").close()
    for step in how:
        if step == "lose":
            line(kind="window", peers=[{"rank": r, "life": "dead" if r == 2 else "live"} for r in (1, 2, 3)])
        elif step == "wait":
            while not asked:
                time.sleep(0.02)
        elif step == "joined":
            end = time.time() + 20
            while not os.path.exists(os.path.join(log, "joined-0")) and time.time() < end:
                time.sleep(0.02)
        elif step == "unsaid":
            sys.exit(3)
        else:
            manifest(int(step))
            sys.exit(int(step))
"""


def fail(text):
    print("FAILED:", text)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


class Life:
    def __init__(self, how, **more):
        self.folder = tempfile.TemporaryDirectory(prefix="tensair-life-")
        self.path = self.folder.name
        self.log = os.path.join(self.path, "log")
        os.mkdir(self.log)
        self.program = os.path.join(self.path, "pro gram")
        for name, text in list(FAKES.items()):
            self.write(name, "#!/bin/bash\n" + text + "\n")
        self.write("pro gram", PROGRAM)
        self.run_dir = os.path.join(self.path, "it's a run")
        environment = dict(os.environ, PATH=self.path + ":" + os.environ["PATH"], LOG=self.log, REAL=TENSAIR, HOW=how,
                           TENSAIR=self.program, TENSAIR_RUN_DIR=self.run_dir, SLURM_JOB_ID="7", SLURM_SUBMIT_DIR=self.path,
                           SLURM_JOB_NODELIST="n[1-4]", SLURM_NTASKS_PER_NODE="1", SLURM_NTASKS="4", SQUEUE_SAYS="RUNNING", **more)
        self.process = subprocess.Popen(["bash", SCRIPT, "my config.yaml", "--set", "a=it's %a"], cwd=self.path, env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def write(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def read(self, name):
        try:
            with open(os.path.join(self.log, name)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def steps(self):
        return [step.split("\n") for step in self.read("srun").strip("\n").split("\n\n")]

    def wait_for(self, name):
        end = time.monotonic() + 30
        while not os.path.exists(os.path.join(self.log, name)):
            check(time.monotonic() < end and self.process.poll() is None, f"no {name}: {self.read('srun')}")
            time.sleep(0.02)

    def ends(self, code):
        out, _ = self.process.communicate(timeout=60)
        check(self.process.returncode == code, f"exit status {self.process.returncode}, not {code}\n{out}\n{self.read('srun')}")
        return out


def plain():
    life = Life("0")
    life.ends(0)
    probe, main = life.steps()
    for step in (probe, main):
        check({"--kill-on-bad-exit=0", "--no-kill", "--wait=0"} <= set(step), f"options of srun: {step}")
    check("--nodes=4" in main and "--ntasks=4" in main and "--nodelist=a,b,c,d" in main, f"place: {main}")
    at = main.index("train")
    check(main[at - 1:] == [life.program, "train", "my config.yaml", "--run-dir", life.run_dir, "--resume", "auto", "--set",
                            "a=it's %a"], f"command: {main}")
    check(not any(a.startswith("--gpus-per-task") for a in main), "GPUs by task")
    check("requeue" not in life.read("scontrol"), "requeued though it finished")


def array():
    life = Life("0", SLURM_ARRAY_TASK_ID="12")
    life.ends(0)
    main = life.steps()[-1]
    check("a=it's 12" in main and life.run_dir + "/task-12" in main, f"array: {main}")


def codes():
    Life("69").ends(69)
    Life("69", SRUN_SAYS="137").ends(69)      # one was killed: the run itself says what that means
    Life("unsaid", SRUN_SAYS="137").ends(137) # it did not come to say
    life = Life("75")
    life.ends(75)
    check("requeue 7" in life.read("scontrol"), "not requeued")
    life = Life("75", SLURM_RESTART_COUNT="3", TENSAIR_REQUEUES="3")
    life.ends(75)
    check("requeue" not in life.read("scontrol"), "requeued too often")


def signals():
    for sent, state, requeued in ((signal.SIGUSR1, "RUNNING", True), (signal.SIGTERM, "CANCELLED", False),
                                  (signal.SIGTERM, "TIMEOUT", True)):
        life = Life("wait 75", SRUN_SAYS="137")
        life.write("squeue", f"#!/bin/sh\necho {state}\n")
        life.wait_for("started")
        life.process.send_signal(sent)
        life.ends(75)
        check(("requeue 7" in life.read("scontrol")) == requeued, f"{sent.name} {state}: requeued or not")


def repair():
    """Two nodes train, two are kept: the lost rank's place is taken from the first of these; without any, from a live one."""
    life = Life("lose joined 69", TENSAIR_RESERVE="2", TENSAIR_SPARES="1")
    out = life.ends(69)
    steps = life.steps()
    check(len(steps) == 3, f"{len(steps)} steps: {out}")
    check("--nodelist=a,b" in steps[1] and "run.spares=1" in steps[1] and "-n" in steps[1], f"main: {steps[1]}")
    check("--nodelist=c" in steps[2] and "--overlap" in steps[2] and "--ntasks=1" in steps[2], f"repair: {steps[2]}")
    check(steps[2][steps[2].index("--join") + 1] == "0" and steps[2][-2:] == ["--set", "a=it's %a"], f"repair: {steps[2]}")
    check("rank 2 is lost: spare replica 0 joins from c" in out, out)
    life = Life("lose joined 69", TENSAIR_SPARES="1")
    life.ends(69)
    check("--nodelist=a" in life.steps()[2], f"repair without a reserve: {life.steps()}") # rank 2 of 4 was on c
    life = Life("0", TENSAIR_RESERVE="4")
    life.ends(2)


for test in (plain, array, codes, signals, repair):
    test()
    print("passed:", test.__name__)
