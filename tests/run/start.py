"""How replicas come to be: forked, shown as their own; and a launcher that was left behind by a later life of its job."""
import json
import os
import signal
import subprocess
import time

from harness import Place, check, contains, finish, nothing_left, replicas_of

LONG = ("--set", "run.max_records=2000000000")


def first_mapping(pid):
    with open(f"/proc/{pid}/maps") as file:
        return file.readline().split()[0]


def forked():
    """Without exec, as nothing of the launcher stands in the way: its layout in memory is theirs. ps shows their own."""
    place = Place()
    process = place.start("-n", 3, *LONG)
    place.wait_for(lambda: place.training(3), process, what="training")
    replicas = replicas_of(process.pid)
    check(sorted(replicas) == [0, 1, 2], f"ranks in /proc/PID/environ: {replicas}")
    if len(os.listdir(f"/proc/{process.pid}/task")) == 1:  # a sanitizer may have threads of its own
        for rank, pid in replicas.items():
            check(first_mapping(pid) == first_mapping(process.pid), f"rank {rank} was executed, not forked")
    for rank, pid in replicas.items():
        with open(f"/proc/{pid}/cmdline") as file:
            line = file.read().split("\0")
        contains(" ".join(line), "tensair train", "run.replicas=3", "--run-dir " + place.at("run"))
        with open(f"/proc/{pid}/comm") as file:
            check(file.read() == "tensair\n", "another name")
        open_files = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        check(sum(place.at("run", "lock") in name for name in open_files) == 1, f"rank {rank} does not hold the lock")
        check(sum("metrics.jsonl" in name for name in open_files) == 1, f"rank {rank} holds too much: {open_files}")
    process.send_signal(signal.SIGTERM)
    finish(process, 75)
    nothing_left(place)


def told_once():
    """What the launcher had printed before is not printed again by each of its replicas; what one fails by is told by it."""
    place = Place()
    command = [a for a in place.command("-n", 3, "--set", "run.max_records=2000") if a != "--quiet"]
    done = subprocess.run(command, cwd=place.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 0, f"{done.returncode}: {done.stderr}")
    check(done.stderr.count("transport auto") + done.stderr.count("transport shm") <= 1, f"said more than once:\n{done.stderr}")
    check(done.stdout.count("checkpoint   ") == 1, f"concluded more than once:\n{done.stdout}")


def zombie():
    """Launcher 0 of a former life, which was away while Slurm requeued its job: it writes nothing more, and says why."""
    place = Place()
    first = place.start("-n", 2, *LONG, env=dict(os.environ, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="0"))
    place.wait_for(lambda: place.training(2), first, what="training")
    replicas = list(replicas_of(first.pid).values())
    for pid in [first.pid] + replicas:
        os.kill(pid, signal.SIGSTOP)
    second = place.start("-n", 2, *LONG, env=dict(os.environ, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="1"))
    place.wait_for(lambda: len(place.events("start")) == 4, second, what="training in the second life")
    for pid in replicas + [first.pid]:
        os.kill(pid, signal.SIGCONT)
    out, err = finish(first, 69)
    contains(err, "belongs to restart 1 of Slurm job 7", "this former life writes nothing there any more")
    check(out == "", f"a former life concludes: {out}")
    check(not any(os.path.exists(f"/proc/{pid}") for pid in replicas), "its replicas stayed")
    check(second.poll() is None, "the second life ended")
    late = place.start("-n", 2, *LONG, env=dict(os.environ, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="0"))
    contains(finish(late, 2)[1], "a former life", "restart 1")
    second.send_signal(signal.SIGTERM)
    out, err = finish(second, 75)
    contains(out, "go on with")
    check(len(place.checkpoints()) == 1, f"checkpoints: {place.checkpoints()}")
    with open(place.at("run", "manifest.json")) as file:
        check(json.load(file)["exit_code"] == 75, "the manifest is not the second life's")
    nothing_left(place)


for test in (forked, told_once, zombie):
    begin = time.monotonic()
    test()
    print(f"passed: {test.__name__} ({time.monotonic() - begin:.1f} s)")
