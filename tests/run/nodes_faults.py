"""Several nodes, and things die: replicas, launchers of any node, one that stands still for a while."""
import os
import signal
import time

from harness import alive, check, contains, finish, left_behind, nothing_left, replicas_of
from nodes_common import LONG, Nodes, Reader

QUICK = ("--set", "exchange.dead_after=4")


def begin(place, nodes, replicas, *arguments):
    processes = place.nodes(nodes, replicas, *LONG, *arguments)
    place.wait_for(lambda: place.training(replicas), processes[0], what="training")
    return processes


def survivors_agree(place, ranks):
    rests = [r for r in place.events("rest") if r["rank"] in ranks]
    last = max(r["round"] for r in rests)
    rests = [r for r in rests if r["round"] == last]
    check({r["rank"] for r in rests} == set(ranks), f"not all came to rest: {rests}")
    check(len({r["checksum"] for r in rests}) == 1, f"survivors disagree: {rests}")


def killed_replica():
    """A replica of another node: all notice, the rest goes on, and all nodes end with 69."""
    place = Nodes()
    processes = begin(place, 2, 4)
    victim = replicas_of(processes[1].pid)[3]
    os.kill(victim, signal.SIGKILL)
    place.wait_for(lambda: len(place.events("peer_lost")) == 3, processes[0], what="three survivors noticing")
    processes[0].send_signal(signal.SIGTERM)
    out, err = finish(processes[0], 69)
    _, err_1 = finish(processes[1], 69)
    contains(out, "lost         1 of 4")
    contains(err, "1 of 4 replicas did not finish")
    contains(err_1, f"replica 3 (process {victim}) was killed by signal 9", "1 of 4 replicas did not finish")
    survivors_agree(place, [0, 1, 2])
    check(len(place.checkpoints()) == 1, "survivors save")
    nothing_left(place)


def killed_launcher():
    """Of node 1: its replicas go with it, node 0 goes on, names it, and tells the end."""
    place = Nodes()
    processes = begin(place, 2, 4, *QUICK)
    gone = replicas_of(processes[1].pid)
    processes[1].kill()
    processes[1].communicate()
    place.wait_for(lambda: not any(alive(p) for p in gone.values()), what="the end of its replicas")
    place.wait_for(lambda: len(place.events("peer_lost")) == 4, processes[0], what="both survivors noticing both")
    processes[0].send_signal(signal.SIGTERM)
    out, err = finish(processes[0], 69)
    contains(out, "lost         2 of 4")
    contains(err, "2 of 4 replicas did not finish", "node 1 (")
    survivors_agree(place, [0, 1])
    nothing_left(place)
    place.run_nodes(2, 2, *LONG, "--set", "run.max_seconds=1")  # and it can be gone on from


def killed_first():
    """Of node 0, which serves the store: the others end in order among themselves, one of them tells the end."""
    place = Nodes()
    processes = begin(place, 3, 3, *QUICK)
    processes[0].kill()
    processes[0].communicate()
    place.wait_for(lambda: len(place.events("peer_lost")) == 2, processes[1], what="both survivors noticing")
    heard = [Reader(p) for p in processes[1:]]
    place.wait_for(lambda: any([h.said("has taken over") for h in heard]), processes[1], what="a lock taken over")
    processes[2].send_signal(signal.SIGTERM)
    outs = [finish(p, 69)[0] for p in processes[1:]]
    told = [out for out in outs if out]
    check(len(told) == 1, f"the one that has taken over tells the end: {outs}")
    contains(told[0], "lost         1 of 3", "checkpoint   ")
    for number, err in enumerate((h.text for h in heard), start=1):
        contains(err, "node 0 (", "is gone")
        check(f"node {number} (" not in err, f"node {number} misses itself: {err}")
    survivors_agree(place, [1, 2])
    check(len(place.checkpoints()) == 1, "survivors save")
    place.wait_for(lambda: not left_behind(place), what="the end of all processes")
    place.run_nodes(2, 2, "--set", "run.max_records=2000000000", "--set", "run.max_seconds=1")
    nothing_left(place)


def early():
    """A launcher killed at any moment: the other one ends, and leaves nothing."""
    for number in (0, 1):
        for delay in (0.1, 0.3, 0.6):
            place = Nodes()
            processes = place.nodes(2, 2, "--set", "exchange.dead_after=2", "--set", "run.max_records=400000", "--set",
                                    "exchange.join_within=3")
            time.sleep(delay)
            processes[number].kill()
            processes[number].communicate()
            code, out, err = finish(processes[1 - number], None, 90)
            check(code in (0, 69), f"killed node {number} after {delay} s: exit status {code}\n{out}\n{err}")
            check(code == 0 or err.strip(), "69 without a word")
            place.wait_for(lambda: not left_behind(place), what="the end of all processes")


def standing_still():
    """A launcher that is stopped for a while: its replicas are presumed to have ended, but nobody is dropped."""
    place = Nodes()
    processes = begin(place, 2, 2, *QUICK)
    processes[1].send_signal(signal.SIGSTOP)
    heard = Reader(processes[0])
    place.wait_for(lambda: heard.said("has been silent for"), processes[0], what="node 0 missing it")
    processes[1].send_signal(signal.SIGCONT)
    place.wait_for(lambda: heard.said("is back"), processes[0], what="node 0 hearing it again")
    processes[1].send_signal(signal.SIGTERM)
    finish(processes[0], 75)
    finish(processes[1], 75)
    check(not place.events("peer_lost"), "a replica was dropped")
    survivors_agree(place, [0, 1])
    nothing_left(place)


for test in (killed_replica, killed_launcher, killed_first, early, standing_still):
    began = time.monotonic()
    test()
    print(f"passed: {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
