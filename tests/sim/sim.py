"""tensair sim: the same bytes twice, whatever happens to its replicas; one replica is tensair train, to the bit; time is what
the assumptions say; what is asked for in a wrong way is refused."""
import json
import os
import subprocess
import sys
import tempfile

TENSAIR = os.environ.get("TENSAIR") or sys.exit("TENSAIR names the program; run me through ctest")

CONFIG = """\
run: {seed: 7, max_records: 6400}
stream: {generator: sea, batch: 16}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 8, activation: relu}
    - {type: batch_norm}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: momentum, rate: 0.005}
"""
TIMES = ["--step-time", "1e-3", "--predict-time", "2e-4", "--memory", "10"]

place = tempfile.TemporaryDirectory(prefix="tensair-sim-")
config = os.path.join(place.name, "run.yaml")
with open(config, "w") as file:
    file.write(CONFIG)


def run(*arguments, expect=0, times=TIMES):
    done = subprocess.run([TENSAIR, "sim", config, *times, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=200, cwd=place.name)
    if done.returncode != expect:
        sys.exit(f"{arguments}: exit status {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
    return done


def rows(*arguments, **more):
    lines = [json.loads(line) for line in run(*arguments, "--json", **more).stdout.splitlines()]
    return [line for line in lines if line["kind"] == "run"]


def check(holds, *what):
    if not holds:
        sys.exit(" ".join(str(w) for w in what))


# The same bytes twice, for people and for programs, with all that is drawn at random and all that may happen.
busy = ["-n", "1,3,8", "--jitter", "0.2", "--slow", "1:3", "--stall", "0@0.05:0.1", "--seed", "5"]
for extra in ([], ["--json"]):
    check(run("-n", "8", *busy[2:], *extra).stdout == run("-n", "8", *busy[2:], *extra).stdout, "two runs differ", extra)
killed = ["-n", "4", "--kill", "2@0.05", "--set", "exchange.dead_after=0.6", "--json"]
first = run(*killed, expect=69)
check(first.stdout == run(*killed, expect=69).stdout, "two runs with a death differ")
row = json.loads(first.stdout.splitlines()[-1])
check(row["lost"] == 1 and row["finished"] == 3, "one of four was killed:", row)
check(run("-n", "4", "--jitter", "0.2", "--seed", "5").stdout != run("-n", "4", "--jitter", "0.2", "--seed", "6").stdout,
      "another seed changes nothing")

# One replica computes what tensair train computes: the same weights, bit for bit, and the same score.
subprocess.run([TENSAIR, "train", config, "--quiet", "--run-dir", os.path.join(place.name, "real"), "--set",
                "checkpoint.off=yes"], check=True, stdout=subprocess.DEVNULL, timeout=100)
with open(os.path.join(place.name, "real", "metrics.jsonl")) as file:
    lines = [json.loads(line) for line in file]
real = [line for line in lines if line["kind"] == "summary"][-1]
rest = [line for line in lines if line.get("event") == "rest"][-1]
alone = rows("-n", "1")[0]
check(alone["checksum"] == rest["checksum"], "weights of a run", rest["checksum"], "and of its simulation", alone["checksum"])
check(alone["records"] == 6400 and alone["steps"] == real["steps"], alone, real)
check(abs(alone["accuracy"] - real["accuracy_all"]) < 1e-9 and abs(alone["loss"] - real["loss_all"]) < 1e-6, alone, real)

# Time: 400 steps, with a prediction each, and what is added up.
check(abs(alone["seconds"] - 400 * 1.2e-3) < 400 * 2e-6, "400 steps of 1.2 ms took", alone["seconds"])
check(alone["points"][-1]["records"] == 6400 and len(alone["points"]) == 10, "the curve:", alone["points"])

# Nobody waits for a straggler, and all agree at rest: 7 of 8 replicas go on at their rate.
even, slow = rows("-n", "8")[0], rows("-n", "8", "--slow", "3:10")[0]
check(even["efficiency"] == 1 and even["finished"] == 8 and int(even["checksum"], 16) != 0, even)
check(even["records_per_s"] > 7.5 * alone["records_per_s"], "8 replicas make", even["records_per_s"], "records/s")
check(slow["seconds"] > 5 * even["seconds"], "its share is dealt before: the run ends with the slowest", slow["seconds"])
check(abs(even["s_avg"] - 7) < 1, "each gradient misses about a step of each of 7 peers:", even["s_avg"])

# Traffic: a put of d floats, and what goes with it, to each peer for each step.
floats = 3 * 8 + 8 + 4 * 8 + 8 * 2 + 2
check(even["bytes"] / even["puts"] >= 4 * floats, "bytes a put:", even["bytes"] / even["puts"])
check(even["puts"] >= 7 * even["steps"] * 0.9, "puts:", even["puts"], "steps:", even["steps"])

# 64 replicas, and a slow network that coalesces.
with open(os.path.join(place.name, "slow.yaml"), "w") as file:
    file.write("name: slow\nmade: for a test\nlatency_us: 100\ngb_per_s: 1e-4\n")
check(rows("-n", "64")[0]["finished"] == 64, "64 replicas")
thin = rows("-n", "4", "--network", "slow.yaml")[0]
check(thin["puts"] < 3 * thin["steps"] / 2 and thin["finished"] == 4, "a thin link carries fewer, later puts:", thin)
check(thin["bytes_per_s_each"] < 1.1e5, "no NIC sends more than it can:", thin["bytes_per_s_each"])
shared = rows("-n", "4", "--network", "slow.yaml", "--per-node", "4")[0]
check(shared["finished"] == 4, shared)

# What cannot be.
for arguments, code in ((["-n", "0"], 2), (["-n", "1025"], 2), (["-n", "2,x"], 2), (["--slow", "9:2", "-n", "2"], 2),
                        (["--kill", "1"], 2), (["--stall", "0@1"], 2), (["--network", "none.yaml"], 74),
                        (["--step-time", "0"], 2), (["--kill", "5@1", "-n", "2"], 2), (["--unheard-of"], 2),
                        (["--set", "run.max_records=0"], 2)):
    done = run(*arguments, expect=code)
    check(len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("tensair sim: "), arguments, done.stderr)
check("usage: tensair sim" in run("--help").stdout, "no help")
print("sim: passed")
