"""Things die: replicas and launchers killed at many moments, replicas that stand still, disks that are full."""
import os
import random
import resource
import signal
import time

from harness import Place, alive, check, contains, finish, left_behind, nothing_left, replicas_of

LONG = ("--set", "run.max_records=2000000000")
SEED = int(os.environ.get("TENSAIR_TEST_SEED", random.randrange(1 << 30)))
RANDOM = random.Random(SEED)
print("TENSAIR_TEST_SEED =", SEED)


def killed_replica():
    """The others go on, finish and save; the job says who and how, and ends with 69."""
    place = Place()
    process = place.start("-n", 3, "--set", "run.max_records=3000000")
    place.wait_for(lambda: place.training(3), process, what="training")
    victim = replicas_of(process.pid)[1]
    os.kill(victim, signal.SIGKILL)
    out, err = finish(process, 69)
    contains(err, f"replica 1 (process {victim}) was killed by signal 9", "1 of 3 replicas did not finish")
    contains(out, "lost         1 of 3", "untrained    ")
    rests = place.events("rest")
    check(len(rests) == 2 and len({r["checksum"] for r in rests}) == 1, f"survivors disagree: {rests}")
    check(len(place.events("peer_lost")) == 2, "both survivors notice")
    check(len(place.checkpoints()) == 1, "survivors save")
    nothing_left(place)
    place.train("-n", 3, "--set", "run.max_records=3000000", "--set", "run.max_seconds=1")  # and it can be gone on from
    check("dealt anew" in open(place.at("run", "log", "rank-00000.log")).read(), "another number of replicas")


def killed_replica_any_time():
    for _ in range(4):
        place = Place()
        # Killed within a checkpoint, the next one waits out its patience for the file: so not too many of them here.
        process = place.start("-n", 3, "--set", "run.max_records=400000", "--set", "checkpoint.every_records=150000",
                              "--set", "exchange.dead_after=1")
        time.sleep(RANDOM.uniform(0, 0.4))
        replicas = replicas_of(process.pid)
        if replicas:
            try:
                os.kill(RANDOM.choice(list(replicas.values())), signal.SIGKILL)
            except ProcessLookupError:
                pass
        out, err = process.communicate(timeout=60)
        check(process.returncode in (0, 69), f"exit status {process.returncode}\n{out}\n{err}")
        nothing_left(place)


def killed_launcher():
    """The kernel takes the replicas along; the next run takes over the folder."""
    for _ in range(5):
        place = Place()
        process = place.start("-n", 3, *LONG, "--set", "checkpoint.every_records=50000")
        delay = RANDOM.uniform(0, 0.4)
        time.sleep(delay)
        replicas = replicas_of(process.pid)
        process.kill()
        process.communicate()
        place.wait_for(lambda: not any(alive(pid) for pid in replicas.values()) and not left_behind(place),
                       what=f"the end of the replicas (killed after {delay:.3f} s)")
        place.train("-n", 2, "--set", "run.max_records=2000000000", "--set", "run.max_seconds=0.2")
        nothing_left(place)
    check(not [n for n in os.listdir("/dev/shm") if "tensair" in n], "something in /dev/shm")


def standing_still():
    """SIGSTOP: dropped by its peers, and killed in the end; woken before that, it leaves by itself."""
    place = Place()
    process = place.start("-n", 3, *LONG, "--set", "exchange.dead_after=4")
    place.wait_for(lambda: place.training(3), process, what="training")
    victim = replicas_of(process.pid)[2]
    os.kill(victim, signal.SIGSTOP)
    place.wait_for(lambda: len(place.events("peer_lost")) == 2, process, what="both survivors noticing")
    os.kill(victim, signal.SIGCONT)
    place.wait_for(lambda: not alive(victim), process, what="the end of the replica that was dropped")
    process.send_signal(signal.SIGTERM)
    _, err = finish(process, 69)
    contains(err, "rank 2", "given up by the others", "ended with exit code 69")
    nothing_left(place)

    place = Place()
    process = place.start("-n", 2, "--set", "run.max_records=300000", "--set", "exchange.dead_after=4")
    place.wait_for(lambda: place.training(2), process, what="training")
    os.kill(replicas_of(process.pid)[0], signal.SIGSTOP)
    _, err = finish(process, 69)
    contains(err, "replica 0", "does not react: killed")
    nothing_left(place)


def full_disk():
    """No room for a checkpoint: the old one stays, the run says so and ends with 74. RLIMIT_FSIZE plays the full disk."""
    place = Place()
    place.train("--set", "run.max_records=1600")
    before = place.checkpoints()

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    # HDF5 1.10 leaks what it could not flush: not ours to find.
    environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    out, err = place.train("--set", "run.max_records=3200", expect=74, preexec_fn=small_disk, env=environment)
    check(err.count("tensair train: ") == 1, f"not one last word:\n{err}")
    contains(err, place.at("run", "checkpoint"))
    check(place.checkpoints() == before, f"{before} became {place.checkpoints()}")
    place.train("--set", "run.max_records=3200")
    check(place.checkpoints()[-1] == "000000200", "it goes on when there is room again")


def failing_checkpoints():
    """A checkpoint that fails on the way does not stop the run."""
    place = Place()
    process = place.start(*LONG, "--set", "checkpoint.every_records=200000")
    place.wait_for(lambda: place.training(1), process, what="training")
    os.rename(place.at("run", "checkpoint"), place.at("run", "hidden"))
    place.write("run/checkpoint", "in the way")
    place.wait_for(lambda: place.events("checkpoint_failed"), process, what="a failed checkpoint in the metrics")
    check(process.poll() is None, "the run goes on")
    os.remove(place.at("run", "checkpoint"))
    os.rename(place.at("run", "hidden"), place.at("run", "checkpoint"))
    process.send_signal(signal.SIGTERM)
    finish(process, 75)
    check(place.checkpoints(), "a checkpoint in the end")


def in_use():
    place = Place()
    process = place.start("-n", 2, *LONG)
    place.wait_for(lambda: place.training(2), process, what="training")
    _, err = place.train(expect=2)
    contains(err, place.at("run"), f"in use by process {process.pid}", "--run-dir")
    process.send_signal(signal.SIGTERM)
    finish(process, 75)


for test in (killed_replica, killed_replica_any_time, killed_launcher, standing_still, full_disk, failing_checkpoints, in_use):
    began = time.monotonic()
    test()
    print(f"passed: {test.__name__} ({time.monotonic() - began:.1f} s)")
