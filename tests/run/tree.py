"""Topologies tree and clusters as real processes: what is trained is there once, all rest on the same bits, runs go on
from checkpoints, with other numbers of replicas and other topologies too, and a loss ends the run in order."""
import os
import signal
import time

from harness import Place, check, contains, finish, nothing_left, replicas_of

TREE = ["--set", "exchange.topology=tree"]


def rests(place, life):
    """Of each round: the weights all have rested on, and the steps they have counted."""
    found = {}
    for event in place.events("rest"):
        if event["epoch"] == life:
            found.setdefault(event["round"], []).append((event["checksum"], event["steps"]))
    return found


def agree(place, life, replicas):
    found = rests(place, life)
    check(found, "nobody has come to rest")
    for number, said in found.items():
        check(len(set(said)) == 1 and len(said) == replicas, f"round {number}: replicas rest on {said}")
    return found


def peers_of(place):
    """Rank -> ranks it tells of in its metrics."""
    return {line["rank"]: [p["rank"] for p in line["peers"]] for line in place.metrics(kind="window")}


def whole_lives():
    place = Place()
    place.train("-n", 7, *TREE, "--set", "run.max_records=16000", "--set", "checkpoint.every_records=6000")
    rounds = agree(place, 1, 7)
    check(rounds[max(rounds)][0][1] == 1000, f"1,000 batches were to be trained: {rounds}")
    near = peers_of(place)
    check(near[0] == [1, 2] and near[1] == [0, 3, 4] and near[6] == [2], f"neighbours in the metrics: {near}")
    for life, (replicas, topology) in enumerate([(7, "tree"), (5, "tree"), (5, "clusters"), (3, "full")], 2):
        records = 16000 + 4800 * (life - 1)
        place.train("-n", replicas, "--set", f"exchange.topology={topology}", "--set", f"run.max_records={records}")
        rounds = agree(place, life, replicas)
        check(rounds[max(rounds)][0][1] == 1000 + 300 * (life - 1), f"{topology} of {replicas}, life {life}: {rounds}")
    nothing_left(place)


def lost(victim):
    """An inner one, a leaf: the others end, say why, and the checkpoint before is gone on from."""
    place = Place()
    more = TREE + ["--set", "run.max_records=100000000", "--set", "checkpoint.every_records=4000",
                   "--set", "exchange.dead_after=3"]
    process = place.start("-n", 5, *more)
    place.wait_for(lambda: place.training(5) and place.checkpoints(), process, what="the first checkpoint")
    os.kill(replicas_of(process.pid)[victim], signal.SIGKILL)
    killed = time.monotonic()
    _, err = finish(process, expect=69, timeout=60)
    check(time.monotonic() - killed < 20, "the end took too long")
    contains(err, f"peer {victim} is lost", "exchange.topology tree")
    nothing_left(place)
    place.train("-n", 4, *TREE, "--set", f"run.max_records={int(place.checkpoints()[-1]) * 16 + 16000}")
    agree(place, 2, 4)


def refused():
    place = Place()
    _, err = place.train("-n", 2, *TREE, "--set", "run.spares=1", expect=2)
    contains(err, "exchange.topology tree", "run.spares")


whole_lives()
for victim in (1, 4):
    lost(victim)
refused()
