"""One run over several nodes: trains as one, is stopped as one, goes on with another number; misfits are told."""
import json
import os
import signal
import subprocess
import time

from harness import TENSAIR, check, contains, finish, nothing_left
from nodes_common import LONG, Nodes, Reader


def agree(place, replicas, life=1):
    rests = [r for r in place.events("rest") if r["epoch"] == life]
    last = max(r["round"] for r in rests)
    rests = [r for r in rests if r["round"] == last]
    check({r["rank"] for r in rests} == set(range(replicas)), f"not all came to the last rest: {rests}")
    check(len({r["checksum"] for r in rests}) == 1, f"replicas disagree at rest: {rests}")


def trains():
    for nodes, replicas, transport in ((2, 4, ("--set", "transport.type=shm")), (3, 3, ("--set", "transport.type=shm")),
                                       (2, 2, ("--set", "transport.type=ofi"))):
        place = Nodes()
        processes = place.nodes(nodes, replicas, "--set", "run.max_records=16000", transport=transport)
        said = [finish(p, None, 120) for p in processes]
        codes, outs = [c for c, _, _ in said], [o for _, o, _ in said]
        if codes == [2] * nodes and "is not in this version of the program" in said[0][2]:
            print("left out: this program has no", transport[1])
            continue
        check(codes == [0] * nodes, f"{nodes} nodes, {transport[1]}: {said}")
        contains(outs[0], "records      16,000", f"{replicas} replicas")
        check(all(o == "" for o in outs[1:]), f"the end is told by node 0 alone: {outs}")
        agree(place, replicas)
        check({r["steps"] for r in place.events("rest")} == {1000}, "steps at rest")
        for node in range(nodes):
            name = place.at("run", "metrics.jsonl" if node == 0 else f"metrics-{node:05}.jsonl")
            with open(name) as file:
                ranks = {json.loads(line)["rank"] for line in file} - {-1}
            share = replicas // nodes
            check(ranks == set(range(node * share, (node + 1) * share)), f"{name} holds ranks {ranks}")
        with open(place.at("run", "manifest.json")) as file:
            manifest = json.load(file)
        summary = place.metrics(kind="summary")
        check(len(summary) == 1 and summary[0]["records"] == 16000, f"summary: {summary}")
        check(0 < summary[0]["seconds"] < 60, f"clocks of different nodes: {summary}")
        check(manifest["nodes"] == nodes and manifest["exit_code"] == 0, "nodes in the manifest")
        in_use = manifest["transport"]
        check(in_use["type"] == transport[1].split("=")[1] and in_use["type"] in in_use["why"], f"manifest: {in_use}")
        check(len(in_use["in_use"]) == nodes and all(in_use["in_use"]), f"manifest: {in_use}")
        nothing_left(place)


def another_number():
    """As many replicas on another number of nodes, and another number of them: all of the stream is trained."""
    place = Nodes()
    for life, (nodes, replicas) in enumerate(((2, 4), (1, 4), (3, 3), (2, 4)), start=1):
        records = 16000 * life
        place.run_nodes(nodes, replicas, "--set", f"run.max_records={records}")
        summary = place.metrics(kind="summary")[-1]
        last = [s for s in place.metrics(kind="summary") if s["epoch"] == life]
        check(len(last) == 1 and last[0]["records"] == records, f"life {life}: {last or summary}")
        agree(place, replicas, life)
    nothing_left(place)


def plotted():
    """Pictures are drawn from the metrics of all nodes, each rank's lives in order, wherever it was then."""
    place = Nodes()
    for life, nodes in enumerate((1, 2, 1), start=1):
        place.run_nodes(nodes, 2, "--set", f"run.max_records={16000 * life}")
    done = subprocess.run([TENSAIR, "plot", place.at("run")], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120)
    check(done.returncode in (0, 2), f"{done.returncode}: {done.stdout}")  # 2: no gnuplot here; the tables are there
    for rank in (0, 1):
        with open(place.at("run", "plots", f"rank-{rank:05}.dat")) as file:
            records = [float(line.split()[1]) for line in file if not line.startswith("#")]
        windows = [w for w in place.metrics(kind="window") if w["rank"] == rank]
        check(len(records) == len(windows) and records == sorted(records), f"rank {rank}: {records}")
        check(records[-1] == 24000, f"rank {rank} ends with {records[-1]} records")


def stopped():
    """A signal to any launcher stops all nodes after one checkpoint; an early one, too."""
    for number in (0, 1):
        place = Nodes()
        processes = place.nodes(2, 2, *LONG)
        place.wait_for(lambda: place.training(2), processes[0], what="training")
        processes[number].send_signal(signal.SIGTERM)
        out, _ = finish(processes[0], 75)
        finish(processes[1], 75)
        contains(out, "stopped      go on with")
        agree(place, 2)
        check(len(place.checkpoints()) == 1, "a checkpoint")
        nothing_left(place)
    place = Nodes()
    lonely = place.node(0, 2, 2, *LONG)
    place.wait_for(place.serving, lonely, what="the server file")
    lonely.send_signal(signal.SIGTERM)
    contains(finish(lonely, 75)[0], "go on with")
    nothing_left(place)


def misfits():
    """Whoever does not fit is refused, both sides say why, and nothing is trained."""
    cases = [
        ((), ("--set", "optimizer.rate=0.02"), 2, 2, ["another configuration", "rate: 0.01", "rate: 0.02"]),
        ((), ("--set", "run.max_records=77"), 2, 2, ["max_records: 4000", "max_records: 77"]),
        ((), (), 2, 4, ["2 replicas", "with 4"]),
    ]
    for first, second, n_first, n_second, parts in cases:
        place = Nodes()
        a = place.node(0, 2, n_first, *first)
        b = place.node(1, 2, n_second, *second)
        contains(finish(b, 2)[1], *parts)
        contains(finish(a, 2)[1], *parts)
        check(not place.events("start"), "something was trained")
        nothing_left(place)
    place = Nodes()  # another number of nodes
    a, b = place.node(0, 2, 6), place.node(1, 3, 6)
    contains(finish(b, 2)[1], "--nodes 2", "--nodes 3")
    contains(finish(a, 2)[1], "--nodes 2", "--nodes 3")
    place = Nodes()  # a number given twice
    a, b = place.node(0, 3, 3), place.node(1, 3, 3, "--log-level", "info")
    heard = Reader(b)
    place.wait_for(lambda: heard.said("waiting for the rest"), b, what="node 1 to be there")
    twin = place.node(1, 3, 3)
    contains(finish(twin, 2)[1], "already", f"process {b.pid}")
    c = place.node(2, 3, 3)
    for process in (a, b, c):
        finish(process, 0)


def usage():
    place = Nodes()
    wrong = [
        (("-n", 3, "--nodes", 2, "--node", 0), 2, ["3 replicas", "2 nodes"]),
        (("-n", 2, "--nodes", 2), 2, ["--node"]),
        (("-n", 2, "--nodes", 2, "--node", 2), 2, ["--node 2", "--nodes 2"]),
        (("-n", 2, "--node", 1), 2, ["--nodes"]),
        (("--nodes", 0, "--node", 0), 2, ["--nodes 0"]),
        (("--nodes", "two", "--node", 0), 2, ["two"]),
    ]
    for arguments, code, parts in wrong:
        contains(place.train(*arguments, expect=code)[1], *parts)
    contains(place.train("-n", 2, "--nodes", 2, "--node", 0, run_dir=None, expect=2)[1], "--run-dir")
    named = dict(os.environ, TENSAIR_NODES="2", TENSAIR_NODE="x")
    contains(place.train("-n", 2, expect=2, env=named)[1], "TENSAIR_NODE", "'x'")
    both = [dict(named, TENSAIR_NODE=str(k)) for k in (0, 1)]
    for process in [place.start("-n", 2, "--set", "transport.type=shm", env=e) for e in both]:
        finish(process, 0)
    nothing_left(place)


def missing():
    """A node that does not come is named, by whoever waits for it."""
    short = ("--set", "exchange.join_within=1")
    place = Nodes()
    a, b = place.node(0, 3, 3, *short), place.node(2, 3, 3, *short)
    contains(finish(a, 69)[1], "of 3 nodes these did not appear", "within 1 s", ": 1")
    _, err = finish(b, 69)
    check(": 1" in err or "gave up" in err or "node 0 is gone" in err, err)
    nothing_left(place)
    place = Nodes()
    contains(finish(place.node(1, 2, 2, *short), 69)[1], "node 0 did not appear", "within 1 s")


def garbage():
    """What lies where the server file should be fools nobody, and does not keep the run from coming to stand."""
    for content in (b"", b"\0" * 100, os.urandom(4096), b"tensair store 1\nport 99999999\n", b"x" * 1000000):
        place = Nodes()
        os.makedirs(place.at("run", "rendezvous"), mode=0o700)
        os.chmod(place.at("run", "rendezvous"), 0o700)
        with open(place.server(), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
        b = place.node(1, 2, 2)
        time.sleep(0.3)
        check(b.poll() is None, f"gave up over {content[:20]}")
        a = place.node(0, 2, 2)
        for process in (a, b):
            finish(process, 0)
        nothing_left(place)
    place = Nodes()
    os.makedirs(place.at("run", "rendezvous"), mode=0o700)
    with open(place.server(), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(b"garbage")
    code, _, err = finish(place.node(1, 2, 2, "--set", "exchange.join_within=1"), None)
    check(code in (69, 74), f"{code}: {err}")


for test in (trains, another_number, plotted, stopped, misfits, usage, missing, garbage):
    began = time.monotonic()
    test()
    print(f"passed: {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
