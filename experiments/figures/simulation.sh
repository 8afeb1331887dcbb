#!/usr/bin/env bash
# FIGURES: simulation_throughput_off simulation_s_avg_off simulated_efficiency_1024 simulation_events_per_s
#
# How true a simulation is: PAIRS (5) runs of REPLICAS (2) real processes over shm, a core each, SECONDS_EACH (3) long; each is
# simulated with the times that its own metrics tell for a step and an apply, and with the network of experiments/networks/
# shm.yaml; medians of how far throughput and mean staleness of the two are apart. Then the efficiency of 1,024 simulated
# replicas in a tree against one, on the built-in network of 100 Gb/s, and the exchange events that the simulator handles in a
# second on one core, computing left out: 64 replicas, topology full.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh
export tensair
export PAIRS=${PAIRS:-5} REPLICAS=${REPLICAS:-2} SECONDS_EACH=${SECONDS_EACH:-3} ONLY=${ONLY:-all}
exec /usr/bin/python3 - <<'PYTHON'
import json, os, re, statistics, subprocess, sys, tempfile

tensair, replicas, seconds = os.environ["tensair"], int(os.environ["REPLICAS"]), float(os.environ["SECONDS_EACH"])
folder = tempfile.TemporaryDirectory()
config = os.path.join(folder.name, "run.yaml")
with open(config, "w") as file:
    file.write("""\
run: {seed: 3, max_records: 100000000}
stream: {generator: sea, batch: 64}
model:
  loss: cross_entropy
  layers:
    - {type: dense, units: 256, activation: relu}
    - {type: dense, units: 256, activation: relu}
    - {type: dense, units: 2, activation: softmax}
optimizer: {type: sgd, rate: 0.01}
exchange: {dead_after: 30}
checkpoint: {off: yes}
""")


def simulate(*arguments):
    done = subprocess.run([tensair, "sim", config, "--json", "--points", "0", *map(str, arguments)], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return [line for line in map(json.loads, done.stdout.splitlines()) if line["kind"] == "run"], done.stderr


def compare(number):
    """A real run, and its simulation: (throughput, S_avg) of both."""
    run_dir = os.path.join(folder.name, f"run-{number}")
    subprocess.run([tensair, "train", config, "-n", str(replicas), "--quiet", "--run-dir", run_dir, "--set",
                    f"run.max_seconds={seconds}"], check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in open(os.path.join(run_dir, "metrics.jsonl"))]
    summary = [line for line in lines if line["kind"] == "summary"][-1]
    windows = [line for line in lines if line["kind"] == "window"]
    phase = {key: sum(line[key] for line in windows) for key in ("stream_s", "predict_s", "compute_s", "apply_s", "put_s", "idle_s")}
    steps = summary["steps"]
    put = summary["bytes"] / summary["puts"]
    network = {key: float(value) for key, value in re.findall(r"^(gb_per_s): (.*)$", open("experiments/networks/shm.yaml").read(),
                                                              re.M)}
    copy_s = summary["bytes"] / network["gb_per_s"] / 1e9 / steps
    read_s = (phase["stream_s"] + phase["idle_s"]) / steps
    busy_s = (phase["predict_s"] + phase["compute_s"] + phase["put_s"]) / steps
    memory = put * (replicas + 2) / (phase["apply_s"] / steps) / 1e9
    made, _ = simulate("-n", replicas, "--network", "experiments/networks/shm.yaml", "--step-time", max(busy_s - copy_s, 1e-7),
                       "--predict-time", 1e-6, "--read-time", read_s, "--memory", memory, "--records", min(summary["records"], 300000), "--jitter",
                       0.1)
    made = made[0]
    print(f"simulation: reading {read_s * 1e6:.1f} us, step {busy_s * 1e6:.1f} us, apply {phase['apply_s'] / steps * 1e6:.1f} us: "
          f"real {summary['records_per_s']:.0f} records/s, S_avg {summary['s_avg']:.3f}; "
          f"simulated {made['records_per_s']:.0f}, {made['s_avg']:.3f}", file=sys.stderr)
    return summary["records_per_s"], summary["s_avg"], made["records_per_s"], made["s_avg"]


pairs = [compare(i) for i in range(int(os.environ["PAIRS"]))]
rate = statistics.median(p[2] / p[0] for p in pairs)
stale = statistics.median(p[3] for p in pairs) / statistics.median(p[1] for p in pairs)
print(f"FIGURE simulation_throughput_off {abs(rate - 1) * 100:.1f} % asked <= 15")
print(f"FIGURE simulation_s_avg_off {abs(stale - 1) * 100:.1f} % asked <= 30")
if os.environ["ONLY"] == "truth":
    sys.exit()
# A step of 1 ms on a batch of 64, a model of 70,000 parameters, 10 GB/s of memory.
times = ("--step-time", 1e-3, "--predict-time", 3e-4, "--memory", 10)
runs, _ = simulate("-n", "1,1024", "--set", "exchange.topology=tree", "--records", 64 * 1024 * 8, "--set",
                   "exchange.scale=mean", *times)
print(f"FIGURE simulated_efficiency_1024 {100 * runs[1]['efficiency']:.1f} % at 1 ms a step, 100 Gb/s, fan-out 2")
with open(config) as file:
    text = file.read().replace("units: 256", "units: 8")
with open(config, "w") as file:
    file.write(text)
_, said = simulate("-n", 64, "--records", 64 * 5000, *times)
print(f"FIGURE simulation_events_per_s {re.findall(r'([0-9.e+]+) events/s without', said)[-1]} asked >= 1e6")
PYTHON
