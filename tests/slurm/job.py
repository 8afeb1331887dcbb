"""Launchers as a batch system starts them, by its variables alone: where they meet, what they refuse, and whose the run
directory is when a former life was left behind."""
import atexit
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["SOURCE_DIR"], "tests", "run"))
from harness import check, contains, finish, left_behind, nothing_left, replicas_of  # noqa: E402
from nodes_common import LONG, Nodes, Reader  # noqa: E402

SHM = ("--set", "transport.type=shm")
SHORT = ("--set", "exchange.join_within=2")


class Tasks(Nodes):
    """Every process a task of a step: nothing of it is said on its command line."""

    def environment(self, rank, size, job=77, restart=0, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PMI", "TENSAIR_N", "TENSAIR_RUN"))}
        step = {"SLURM_JOB_ID": job, "SLURM_STEP_ID": 0, "SLURM_PROCID": rank, "SLURM_STEP_NUM_TASKS": size,
                "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_STEP_NUM_NODES": 2}
        if restart:
            step["SLURM_RESTART_COUNT"] = restart
        return dict(kept, **{k: str(v) for k, v in dict(step, **more).items()})

    def task(self, rank, size, *arguments, run_dir="run", job=77, restart=0, variables=None, **more):
        environment = self.environment(rank, size, job, restart, **(variables or {}))
        process = self.start(*arguments, run_dir=run_dir, env=environment, **more)
        atexit.register(process.kill)  # a test that fails leaves nobody who trains on
        return process

    def tasks(self, size, *arguments, **more):
        return [self.task(k, size, *arguments, **more) for k in range(size)]


def meet():
    """As many replicas as tasks, in runs/NAME-JOBID; shared memory, as all are on one machine; a multiple by -n."""
    place = Tasks()
    for process in place.tasks(3, run_dir=None):
        finish(process, 0)
    run = os.path.join("runs", "run-77")
    check(place.training(3, run), "three replicas, a task each")
    check(place.metrics(run, "summary")[0]["records"] == 4000, "all of the stream")
    starts = {e["text"].split(":")[0] for e in place.events("transport", run)}
    check(starts == {"shm"}, f"transport: {starts}")
    nothing_left(place, run)
    outs = [finish(p, 0) for p in place.tasks(2, "-n", 4, run_dir="four")]
    check(place.training(4, "four"), "two replicas a task")
    check(all(o == "" for o, _ in outs[1:]), "the end is told once")
    contains(finish(place.task(0, 2, "-n", 3), 2)[1], "3 replicas", "2 nodes")
    contains(finish(place.task(5, 2), 2)[1], "SLURM_PROCID=5", "SLURM_STEP_NUM_TASKS=2")
    alone = place.environment(0, 8)  # a batch script: no step
    del alone["SLURM_STEP_ID"]
    place.train(run_dir="batch", env=alone)
    check(place.training(1, "batch"), "a batch script alone is one replica")
    place.train(env=dict(alone, TENSAIR_RUN_DIR=place.at("said")), run_dir=None)
    check(place.training(1, "said"), "TENSAIR_RUN_DIR")


class Pmi(threading.Thread):
    """A server of PMI-1 for tasks of one step."""

    def __init__(self, size):
        super().__init__(daemon=True)
        self.pairs = [socket.socketpair() for _ in range(size)]
        self.value, self.waiting, self.finalized, self.lock = "", [], 0, threading.Lock()

    def fd(self, rank):
        return self.pairs[rank][1].fileno()

    def run(self):
        for ours, _ in self.pairs:
            threading.Thread(target=self.serve, args=(ours,), daemon=True).start()

    def serve(self, ours):
        for line in ours.makefile("r"):
            with self.lock:
                self.answer(ours, line.split())

    def answer(self, ours, words):
        said = dict(w.split("=", 1) for w in words)
        answers = {"init": "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0",
                   "get_maxes": "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024",
                   "get_my_kvsname": "cmd=my_kvsname kvsname=77.0", "put": "cmd=put_result rc=0",
                   "get": f"cmd=get_result rc=0 value={self.value}", "finalize": "cmd=finalize_ack"}
        if said["cmd"] == "put":
            self.value = said["value"]
        if said["cmd"] == "finalize":
            self.finalized += 1
        if said["cmd"] == "barrier_in":
            self.waiting.append(ours)
            for one in self.waiting if len(self.waiting) == len(self.pairs) else []:
                one.sendall(b"cmd=barrier_out\n")
        else:
            ours.sendall(answers[said["cmd"]].encode() + b"\n")


def by_pmi(server, place, rank, size, *arguments, **more):
    fd = server.fd(rank)
    variables = {"PMI_FD": fd, "PMI_RANK": rank, "PMI_SIZE": size}
    return place.task(rank, size, *arguments, variables=variables, pass_fds=[fd], **more)


def pmi():
    """The address of the store goes by PMI, which is finalized; a directory that is not shared is told by both."""
    place, server = Tasks(), Pmi(3)
    server.start()
    processes = [by_pmi(server, place, k, 3) for k in range(3)]
    for process in processes:
        _, err = finish(process, 0)
        check("PMI" not in err, err)
    contains(server.value, "tensair+store+1,run+", "secret+", ",end,")
    check(server.finalized == 3, f"{server.finalized} of 3 finalized")
    place, server = Tasks(), Pmi(2)
    server.start()
    a = by_pmi(server, place, 0, 2, *SHORT, run_dir="here")
    b = by_pmi(server, place, 1, 2, *SHORT, run_dir="there")
    host = socket.gethostname()
    for process in (a, b):
        contains(finish(process, 2)[1], f"node 1 on {host}", f"node 0 on {host}", "there", "not to be shared")
    check(not place.events("start", "here"), "something was trained")
    place, server = Tasks(), Pmi(2)  # one that hangs up: the run directory does
    a = by_pmi(server, place, 0, 2, run_dir="run")
    b = by_pmi(server, place, 1, 2, run_dir="run")
    for ours, theirs in server.pairs:
        ours.close()
    for process in (a, b):
        contains(finish(process, 0)[1], "PMI", "meeting through")


def not_shared():
    """Without PMI nobody can know: both say what they waited for, and where."""
    place = Tasks()
    a, b = place.task(0, 2, *SHORT, run_dir="here"), place.task(1, 2, *SHORT, run_dir="there")
    contains(finish(a, 69)[1], "of 2 nodes these did not appear in", "here", ": 1", "same on their hosts")
    contains(finish(b, 69)[1], "node 0 did not appear in", "there", "same on both hosts")


def begin(place, size, *arguments, **more):
    processes = place.tasks(size, *LONG, *arguments, **more)
    place.wait_for(lambda: place.training(size), processes[0], what="training")
    return processes


def two_jobs():
    """Of two jobs in one run directory the second is refused, node by node, and named; the first does not notice."""
    place = Tasks()
    processes = begin(place, 2)
    for rank in (0, 1):
        other = place.task(rank, 2, *LONG, job=78)
        contains(finish(other, 2)[1], "job 77", "job 78", "in use")
    late = place.task(1, 2, *LONG, job=77)
    contains(finish(late, 2)[1], "already")
    processes[1].send_signal(signal.SIGUSR1)
    for process in processes:
        finish(process, 75)
    check(len(place.checkpoints()) == 1, "a checkpoint")


def former_life():
    """A requeued life takes the run directory from the processes of the former one, which write nothing any more, and
    cannot come back."""
    place = Tasks()
    former = begin(place, 2, "--set", "checkpoint.every_seconds=1")
    place.wait_for(lambda: [n for n in place.checkpoints() if n.isdigit()], former[0], what="a checkpoint")
    replicas = [pid for p in former for pid in replicas_of(p.pid).values()]
    for pid in replicas:
        os.kill(pid, signal.SIGSTOP)  # so that it writes nothing that is late by itself
    before = place.checkpoints()
    later = [place.task(k, 2, *LONG, restart=1) for k in (0, 1)]
    place.wait_for(lambda: place.training(2, life=2), later[0], what="the next life's training")
    for pid in replicas:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    for process in former:
        out, err = finish(process, 69)
        contains(err, "belongs to restart 1 of Slurm job 77", "writes nothing")
        check(out == "", "a former life has told an end")
    for rank in (0, 1):
        contains(finish(place.task(rank, 2, *LONG), 2)[1], "restart 0 of Slurm job 77", "restart 1", "former life")
    check(later[0].poll() is None and later[1].poll() is None, "the later life was disturbed")
    later[0].send_signal(signal.SIGTERM)
    out = finish(later[0], 75)[0]
    finish(later[1], 75)
    contains(out, "stopped")
    rests = [r for r in place.events("rest") if r["epoch"] == 2]
    check(len(rests) == 2 and len({r["checksum"] for r in rests}) == 1, f"rests of life 2: {rests}")
    check(set(place.checkpoints()) - set(before), "the later life's checkpoint")
    contains(finish(place.task(0, 2, *LONG, restart=0), 2)[1], "former life")  # when nobody is there any more, too
    nothing_left(place)


def signalled():
    """Slurm signals every process of a task: launcher and replicas together make one checkpoint, and all say 75."""
    place = Tasks()
    processes = begin(place, 2)
    everyone = [p.pid for p in processes] + [pid for p in processes for pid in replicas_of(p.pid).values()]
    for _ in range(2):  # preemption says it twice
        for pid in everyone:
            os.kill(pid, signal.SIGTERM)
    contains(finish(processes[0], 75)[0], "stopped")
    finish(processes[1], 75)
    check(len(place.checkpoints()) == 1, f"checkpoints: {place.checkpoints()}")
    nothing_left(place)


def secret():
    """A secret that others can read, or a folder they can enter, is not used."""
    place = Tasks()
    processes = begin(place, 2)
    os.chmod(place.server(), 0o644)
    contains(finish(place.task(1, 2, *SHORT), 2)[1], "others can read", "rendezvous/server")
    os.chmod(place.server(), 0o600)
    processes[0].send_signal(signal.SIGTERM)
    for process in processes:
        finish(process, 75)


def replaced():
    """A run directory whose incarnation becomes another's: the run ends by itself, without another checkpoint."""
    place = Tasks()
    processes = begin(place, 2, "--set", "checkpoint.every_seconds=1000")
    text = open(place.at("run", "incarnation")).read().replace("restart 0", "restart 9")
    text = "\n".join("run 00000000deadbeef" if l.startswith("run ") else l for l in text.split("\n"))
    place.write("run/incarnation", text)
    for process in processes:
        contains(finish(process, 69)[1], "restart 9 of Slurm job 77")
    check(not place.checkpoints(), "a former life has written a checkpoint")
    place.wait_for(lambda: not left_behind(place), what="the end of all processes")
    alone = Tasks()
    process = alone.task(0, 1, *LONG)  # one replica, in the launcher itself: when it would write
    alone.wait_for(lambda: alone.training(1), process, what="training")
    alone.write("run/incarnation", "damaged\n")
    process.send_signal(signal.SIGTERM)
    check(finish(process, None)[0] in (69, 74), "a checkpoint under a damaged incarnation")
    check(not alone.checkpoints(), "it has written all the same")


def deadline():
    """Slurm is asked how long the job may run: with as much left as a checkpoint may take, the run checkpoints and stops."""
    for size, left in ((2, "0:12"), (1, "0:12")):
        place = Tasks()
        os.mkdir(place.at("bin"))
        squeue = place.write("bin/squeue", f"#!/bin/sh\necho '77 {left}'\n")
        os.chmod(squeue, 0o755)
        path = {"PATH": place.at("bin") + ":" + os.environ["PATH"]}
        began = time.monotonic()
        processes = begin(place, size, variables=path)
        place.write("bin/squeue", "#!/bin/sh\necho '77 0:03'\n")  # time went by
        outs = [finish(p, 75) for p in processes]
        contains(outs[0][0], "stopped")
        contains(outs[0][1], "the job ends in 3 s", "checkpointing and stopping")
        check(time.monotonic() - began < 60 and len(place.checkpoints()) == 1, f"checkpoints: {place.checkpoints()}")
    place = Tasks()  # a Slurm that does not say is no reason to stop
    os.mkdir(place.at("bin"))
    os.chmod(place.write("bin/squeue", "#!/bin/sh\necho 'no such job' >&2; exit 1\n"), 0o755)
    path = {"PATH": place.at("bin") + ":" + os.environ["PATH"]}
    contains(finish(place.task(0, 1, variables=path), 0)[0], "records      4,000")


for test in (meet, pmi, not_shared, two_jobs, former_life, signalled, secret, replaced, deadline):
    began = time.monotonic()
    test()
    print(f"passed: {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
