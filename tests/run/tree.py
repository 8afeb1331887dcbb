"""Topologies tree and clusters as real processes: what is trained is there once, all rest on the same bits, runs go on
from checkpoints, with other numbers of replicas and other topologies too, and a loss ends nobody else."""
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
        check(len(set(said)) == 1 and len(said) == (replicas or len(said)), f"round {number}: replicas rest on {said}")
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


def lost(*victims):
    """Inner ones, the root, a leaf: the others form a new tree, rest on the same bits, and finish; the job says who."""
    place = Place()
    more = TREE + ["--set", "run.max_records=60000", "--set", "pace.type=constant", "--set", "pace.rate=12000",
                   "--set", "checkpoint.every_records=20000", "--set", "exchange.dead_after=3"]
    process = place.start("-n", 7, *more)
    place.wait_for(lambda: place.training(7), process, what="training")
    replicas = replicas_of(process.pid)
    killed = time.time()
    for victim in victims:
        os.kill(replicas[victim], signal.SIGKILL)
        time.sleep(0.5)
    out, err = finish(process, expect=69, timeout=60)
    contains(out, f"lost         {len(victims)} of 7")
    for victim in victims:
        contains(err, f"replica {victim} (process")
    named = [(e["rank"], e["text"].split()[1]) for e in place.events("peer_lost")]
    expected = {(r, str(v)) for v in victims for r in range(7) if r not in victims}
    check(expected <= set(named), f"who is lost is told by all: {named}")
    last = agree(place, 1, None)[2**32 - 1]
    check(len(last) == 7 - len(victims) and len(set(last)) == 1, f"survivors rest on {last}")
    check(time.time() - killed < 30, "the end took too long")
    nothing_left(place)
    place.train("-n", 4, *TREE, "--set", "run.max_records=70000")  # and it can be gone on from
    agree(place, 2, 4)


def refused():
    place = Place()
    _, err = place.train("-n", 2, *TREE, "--set", "run.spares=1", expect=2)
    contains(err, "exchange.topology tree", "run.spares")


whole_lives()
lost(1, 0)
lost(4)
refused()
