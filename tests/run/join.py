"""A replica is lost, a spare joins the run and goes on where that one stopped; and who cannot join is told why."""
import os
import re
import signal
import time

from harness import Place, check, contains, finish, nothing_left, replicas_of

# Three replicas and two spares, as fast as a stream that lasts a few seconds.
RUN = ("-n", 3, "--set", "run.spares=2", "--set", "pace.type=constant", "--set", "pace.rate=4000",
       "--set", "checkpoint.every_seconds=1000", "--set", "run.max_records=24000")
RECORDS, BATCH = 24000, 16


def lost_and_joined():
    place = Place()
    process = place.start(*RUN)
    place.wait_for(lambda: place.training(3), process, what="training")
    time.sleep(0.5)
    victim = replicas_of(process.pid)[1]
    os.kill(victim, signal.SIGKILL)
    spare = place.start(*RUN, "--join", 1)
    finish(spare, 0)
    out, err = finish(process, 69)
    contains(err, f"replica 1 (process {victim}) was killed by signal 9")
    contains(out, "lost         1 of 3 replicas (rank 1)", "joined       1 (rank 4)")
    check("untrained" not in out, f"all was trained:\n{out}")
    rests = [e for e in place.events("rest") if e["round"] == 2**32 - 1]
    check(sorted(e["rank"] for e in rests) == [0, 2, 4], f"who came to the last rest: {rests}")
    check(len({e["checksum"] for e in rests}) == 1, f"they disagree at rest: {rests}")
    text = place.events("joined")[0]["text"]
    share, position = (int(n) for n in re.fullmatch(r"with the share of rank (\d+) after its batch (\d+)", text).groups())
    check(share == 1 and position > 0, text)
    steps = {e["rank"]: e["steps"] for e in place.metrics(kind="window")}
    batches = RECORDS // BATCH // 3
    check(steps[4] == batches - position, f"the heir made {steps[4]} steps from {position} of {batches}")
    check(steps[0] == batches and steps[2] == batches, f"steps of the others: {steps}")
    check(rests[0]["steps"] == 3 * batches, f"{rests[0]['steps']} steps of {3 * batches} are in the weights")
    nothing_left(place)
    again, _ = place.train("-n", 2, "--set", f"run.max_records={RECORDS + 3200}")  # nothing twice: just what is new
    trained = [e["steps"] for e in place.metrics(kind="window") if e["epoch"] == 2]
    check(sum(max(e["steps"] for e in place.metrics(kind="window") if e["epoch"] == 2 and e["rank"] == r) for r in (0, 1))
          == 3200 // BATCH, f"the next life trains what is left: {trained}\n{again}")


def joined_in_a_later_life():
    """What that life began with is still there for who comes late, however many checkpoints there have been since."""
    place = Place()
    place.train("-n", 3, "--set", "run.spares=2", "--set", "run.max_records=4800")
    began = place.checkpoints()
    process = place.start(*RUN, "--set", "checkpoint.every_records=1000", "--set", "checkpoint.keep=1")
    place.wait_for(lambda: len(place.events("rest")) > 12, process, what="a few checkpoints")
    check(began[0] in place.checkpoints(), f"{began} went with the others: {place.checkpoints()}")
    os.kill(replicas_of(process.pid)[0], signal.SIGKILL)
    finish(place.start(*RUN, "--join", 0), 0)
    out, _ = finish(process, 69)
    contains(out, "lost         1 of 3 replicas (rank 0)", "joined       1 (rank 3)")
    rests = [e for e in place.events("rest") if e["epoch"] == 2 and e["round"] == 2**32 - 1]
    check(sorted(e["rank"] for e in rests) == [1, 2, 3], f"who came to the last rest: {rests}")
    check(len({e["checksum"] for e in rests}) == 1 and rests[0]["steps"] == RECORDS // BATCH, f"{rests}")
    nothing_left(place)


def refused():
    place = Place()
    _, err = place.train("--join", 0, expect=69)
    contains(err, "no run that can be joined", "run.spares")
    process = place.start(*RUN, "--set", "exchange.dead_after=1", "--set", "run.max_records=2000000000")
    place.wait_for(lambda: place.training(3), process, what="training")
    _, err = place.train(*RUN, "--join", 2, expect=2)
    contains(err, "has 2 spares")
    _, err = place.train("-n", 3, "--set", "run.spares=1", "--join", 0, expect=2)
    contains(err, "run.spares is 1", "started with 2")
    _, err = place.train(*RUN, "--set", "exchange.dead_after=1", "--join", 0, expect=2)
    contains(err, "has nothing to do in this run: none of its replicas is lost")
    _, err = place.train(*RUN, "--join", 0, expect=2)
    contains(err, "a spare is used once")
    process.send_signal(signal.SIGTERM)
    finish(process, 75)  # nobody was lost
    nothing_left(place)


for test in (lost_and_joined, joined_in_a_later_life, refused):
    began = time.monotonic()
    test()
    print(f"passed: {test.__name__} ({time.monotonic() - began:.1f} s)")
