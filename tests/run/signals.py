"""What the outside asks of a run: stop, stop now, print state; from launcher, terminal and batch system."""
import os
import signal
import subprocess
import time

from harness import Place, check, contains, finish, left_behind, nothing_left, replicas_of

LONG = ("--set", "run.max_records=2000000000")


def stop(n, number):
    place = Place()
    process = place.start("-n", n, *LONG)
    place.wait_for(lambda: place.training(n), process, what="training")
    time.sleep(0.1)
    process.send_signal(number)
    out, err = finish(process, 75)
    contains(out, "go on with: tensair train", "checkpoint   " + place.at("run", "checkpoint"))
    check(len(place.checkpoints()) == 1, f"checkpoints: {place.checkpoints()}")
    check(len({r["checksum"] for r in place.events("rest")}) == 1, "replicas disagree at rest")
    check(place.metrics(kind="summary")[0]["exit_code"] == 75, "exit code in the metrics")
    check("was killed" not in err and "gone" not in err, f"a stop in order looks like a loss:\n{err}")
    nothing_left(place)


def stop_all():
    for n in (1, 2, 3):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            stop(n, number)


def stop_one():
    """The signal reaches a single replica only (as from a batch system): all stop together."""
    place = Place()
    process = place.start("-n", 3, *LONG)
    place.wait_for(lambda: place.training(3), process, what="training")
    os.kill(replicas_of(process.pid)[1], signal.SIGTERM)
    finish(process, 75)
    check(len({r["checksum"] for r in place.events("rest")}) == 1, "replicas disagree at rest")
    nothing_left(place)


def stop_early():
    """At any moment from the first: it ends with 75 (or 0, or by the signal), and leaves nothing."""
    for n in (1, 3):
        for delay in (0, 0.005, 0.01, 0.02, 0.03, 0.05):
            place = Place()
            process = place.start("-n", n, *LONG)
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
            check(process.returncode in (75, -signal.SIGTERM), f"{delay} s: {process.returncode}\n{out}\n{err}")
            if os.path.isdir(place.at("run")):
                if process.returncode == 75:
                    nothing_left(place)
            check(not left_behind(place), "processes left behind")


def leave_now():
    for n in (1, 3):
        place = Place()
        process = place.start("-n", n, *LONG)
        place.wait_for(lambda: place.training(n), process, what="training")
        stopped = replicas_of(process.pid).get(1)
        if stopped:
            os.kill(stopped, signal.SIGSTOP)  # so that the first SIGINT is not obeyed before the second
        process.send_signal(signal.SIGINT)
        time.sleep(0.0 if n == 1 else 0.3)
        process.send_signal(signal.SIGINT)
        while n > 1 and process.poll() is None:  # two that come before the first is read are one
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        out, err = process.communicate(timeout=60)
        check(process.returncode in (-signal.SIGINT, 75), f"exit status {process.returncode}\n{err}")
        check(n == 1 or process.returncode == -signal.SIGINT, "a second SIGINT waits")
        nothing_left(place)


def state():
    place = Place()
    process = place.start("-n", 2, *LONG)
    place.wait_for(lambda: any(w["peers"][0]["life"] == "live" for w in place.metrics(kind="window") if w["rank"] == 0),
                   process, what="rank 0 to have heard from rank 1")
    process.send_signal(signal.SIGUSR2)

    def said():
        with open(place.at("run", "log", "rank-00001.log")) as file:
            return "state training" in file.read()

    place.wait_for(said, process, what="the state in the log")
    process.send_signal(signal.SIGTERM)
    _, err = finish(process, 75)
    contains(err, "state training", "peer 1: live")


def terminal():
    """On a terminal a block is redrawn, without colour when NO_COLOR is set; elsewhere plain lines, no escapes."""
    place = Place()
    command = " ".join(c for c in place.command("--set", "run.max_records=4000000000", "--set", "run.max_seconds=1") if c != "--quiet")
    for no_color in ("", "1"):
        environment = dict(os.environ, TERM="xterm", COLUMNS="70", NO_COLOR=no_color)
        done = subprocess.run(["script", "-qec", command + " 2>&1", "/dev/null"], env=environment, cwd=place.path, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        text = done.stdout.decode(errors="replace")
        contains(text, "\033[K", "records", "tensair  1 replica")
        check(("\033[1m" in text) == (no_color == ""), "colour and NO_COLOR")
        command = command.replace(place.at("run") + " ", place.at("run-again") + " ")
    _, err = place.train("--set", "run.max_seconds=0.5", "--set", "run.max_records=0", run_dir="plain", env=dict(os.environ, TERM="xterm"))
    check("\033" not in err, "escapes without a terminal")


for test in (stop_all, stop_one, stop_early, leave_now, state, terminal):
    if test is terminal and subprocess.run(["sh", "-c", "command -v script"], stdout=subprocess.DEVNULL).returncode != 0:
        print("left out: terminal (no script(1) here)")
        continue
    test()
    print("passed:", test.__name__)
