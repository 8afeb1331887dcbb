#!/usr/bin/env bash
# FIGURES: launch_64 launch_64_from_last launch_64_of_one checkpoint_usr1 checkpoint_usr1_two
#
# 64 launchers with a replica each on this machine: seconds until the last of them trains, from the start of the first and
# of the last launcher; likewise 64 replicas of one launcher; medians of five. Seconds from SIGUSR1 until the checkpoint
# of a model of 103 MB is whole, one and two replicas.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

/usr/bin/python3 - "$tensair" <<'PYTHON'
import datetime, glob, os, signal, statistics, subprocess, sys, tempfile, time

program = sys.argv[1]
small = """stream: {generator: sea, batch: 16}
pace: {type: constant, rate: 2000}
exchange: {dead_after: 20}
model: {loss: cross_entropy, layers: [{type: dense, units: 2, activation: softmax}]}
"""
large = """stream: {generator: glyphs, batch: 16}
model: {loss: cross_entropy, layers: [{type: flatten}, {type: dense, units: 8192, activation: relu},
  {type: dense, units: 2360, activation: relu}, {type: dense, units: 10, activation: softmax}]}
"""


def start(folder, text, *arguments):
    if not os.path.exists(f"{folder}/run.yaml"):  # once: the others are reading it
        with open(f"{folder}/run.yaml", "w") as file:
            file.write(text + "run: {max_records: 2000000000}\n")
    return subprocess.Popen([program, "train", f"{folder}/run.yaml", "--quiet", "--run-dir", f"{folder}/run", *arguments],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until(condition, processes, patience=60):
    end = time.time() + patience
    while not condition():
        if time.time() > end or any(p.poll() is not None for p in processes):
            sys.exit("launch: a run ended too early, or did not get so far")
        time.sleep(0.02)


def starts(folder):
    lines = [line for name in glob.glob(f"{folder}/run/log/rank-*.log") for line in open(name) if " start: training" in line]
    return [datetime.datetime.fromisoformat(line.split()[0][:-1] + "+00:00").timestamp() for line in lines]


def launch(n, of_one=False):
    with tempfile.TemporaryDirectory() as folder:
        first = time.time()
        nodes = [()] if of_one else [("--nodes", str(n), "--node", str(k)) for k in range(n)]
        processes = [start(folder, small, "-n", str(n), *node) for node in nodes]
        last = time.time()
        time.sleep(4)  # who looks takes time from those that start
        until(lambda: len(starts(folder)) == n, processes)
        trains = max(starts(folder))
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
        return trains - first, trains - last


def checkpoint(n):
    with tempfile.TemporaryDirectory() as folder:
        process = start(folder, large, "-n", str(n))
        metrics = f"{folder}/run/metrics.jsonl"
        until(lambda: os.path.exists(metrics) and open(metrics).read().count('"kind":"window"') >= 2 * n, [process])
        began = time.time()
        process.send_signal(signal.SIGUSR1)
        while not glob.glob(f"{folder}/run/checkpoint/*/DONE") and process.poll() is None:
            time.sleep(0.005)
        took = time.time() - began
        return took if process.wait() == 75 else sys.exit("launch: no checkpoint")


launches = [launch(64) for _ in range(5)]
print(f"FIGURE launch_64 {statistics.median(first for first, _ in launches):.2f} s asked < 2")
print(f"FIGURE launch_64_from_last {statistics.median(last for _, last in launches):.2f} s asked < 2")
of_one = [launch(64, True)[0] for _ in range(5)]
print(f"FIGURE launch_64_of_one {statistics.median(of_one):.2f} s asked < 2")
for n, name in ((1, "checkpoint_usr1"), (2, "checkpoint_usr1_two")):
    print(f"FIGURE {name} {statistics.median(checkpoint(n) for _ in range(3)):.2f} s asked < 3")
PYTHON
