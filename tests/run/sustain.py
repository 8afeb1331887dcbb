"""tensair bench sustain as a person runs it: a bottleneck that is known is found; what cannot be measured is told.

The bottleneck (slow_batches.c, preloaded) lets 250 batches a second through each replica: 4,000 records.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from harness import CONFIG, TENSAIR, Place, check, contains
from words_common import CONFIG as WORDS, place_with_text

BOTTLENECK = dict(os.environ, LD_PRELOAD=sys.argv[1], SLOW_BATCHES_PER_S="250")
CONFIG = CONFIG.replace("max_records: 4000", "replicas: 1")


def sustain(place, *arguments, expect=0, env=None, config="run.yaml"):
    """(stdout, stderr), with the exit status before them when none is expected; nothing temporary may stay behind."""
    with tempfile.TemporaryDirectory() as tmp:
        command = [TENSAIR, "bench", "sustain", place.at(config), "--set", "exchange.dead_after=30"]
        done = subprocess.run(command + [str(a) for a in arguments], cwd=place.path,
                              env=dict(env or os.environ, TMPDIR=tmp), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120)
        check(os.listdir(tmp) == [], f"left behind: {os.listdir(tmp)}")
    if expect is None:
        return done.returncode, done.stdout, done.stderr
    check(done.returncode == expect,
          f"{arguments}: exit status {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
    return done.stdout, done.stderr


def longer(err):
    """The time a busy machine asks for."""
    asked = re.search(r"are needed: --within (\d+)", err)
    check(asked is not None, err)
    return int(asked.group(1)) + 5


def finds_the_bottleneck():
    place = Place(CONFIG)
    within = 10
    search = ["-n", 2, "--seeds", 1, "--precision", 0.04, "--tolerance", 0.02, "--json", place.at("o.json"), "--plot",
              place.at("o.png")]
    for _ in range(3):  # a busy machine needs longer to start a run, and says how long
        code, out, err = sustain(place, *search, "--within", within, expect=None, env=BOTTLENECK)
        if code == 0:
            break
        within = longer(err)
    contains(out, "records/s", "predicted", "visible", "p99.9 ms", "constant pacing")
    contains(err, f"1 combination, {within} s at most", "probes of")
    with open(place.at("o.json")) as file:
        found = json.load(file)
    check(found["unit"] == "records" and len(found["combinations"]) == 1, f"{found}")
    for c in found["combinations"]:
        served = 4000 * c["replicas"]
        # A busy machine may take some of it away, never add to it.
        above = c["not_kept"] or 2 * served
        check(.5 * served < c["rate"] < 1.06 * served and c["rate"] < above and .85 * served < above,
              f"served are {served}/s, found {c['rate']} .. {c['not_kept']}\n{err}")
        for p in c["probes"]:
            check(not (p["rate"] > 1.2 * served and p["kept"]), f"{p} cannot have been kept")
            if p["rate"] > 1.2 * served:
                unserved = 1 - served / p["rate"]
                check(abs(p["slope"] - unserved) < .15,
                      f"{unserved} of {p['rate']} was not served, the lag grew by {p['slope']}")
        latency = c["latency"]
        check(latency["predicted"]["p50_s"] <= latency["visible"]["p50_s"], "predicted before visible")
        check(latency["predicted"]["count"] >= latency["visible"]["count"] > 100, f"{latency}")
    with open(place.at("o.png"), "rb") as file:
        check(file.read(8) == b"\x89PNG\r\n\x1a\n", "a picture")
    check(found["seconds"] < within + 3, f"{found['seconds']} s, {within} were promised")


def tells_what_is_wrong():
    place = Place(CONFIG)
    wrong = [
        (["--set", "online.mode=predict"], "--set online.mode=train"),
        (["--set", "pace.type=bursts", "--set", "pace.rate=5"], "--set pace.type=constant"),
        (["--set", "pace.type=constant", "--set", "pace.schedule=[{at: 0, rate: 5}]"], "pace.schedule"),
        (["-n", "1,,2"], "-n: ',2'"),
        (["-n", "0"], "-n: '0'"),
        (["--batch", "16,x"], "--batch: 'x'"),
        (["--batch", "16,"], "--batch: ''"),
        (["--seeds", "0"], "--seeds '0'"),
        (["--confidence", "1"], "--confidence '1'"),
        (["--within", "soon"], "--within 'soon'"),
        (["--precision", "nan"], "--precision 'nan'"),
        (["--frobnicate"], "--frobnicate"),
        (["--set", "optimizer.rte=1"], "did you mean 'rate'"),
        ([place.at("run.yaml")], "give one configuration"),
        (["--set", "stream.records=0", "--set", "stream.generator=nothing"], "nothing"),
        (["--within", "1"], "are needed: --within"),
        (["--within", "80", "--seeds", "1", "--once", "--set", "stream.records=500"], "the stream holds 500 records"),
        (["--within", "80", "--set", "model.layers[1].units=3"], "gives 3 numbers"),
    ]
    for arguments, part in wrong:
        _, err = sustain(place, *arguments, expect=2)
        contains(err, part)
    _, err = sustain(place, expect=74, config="none.yaml")
    out, _ = sustain(place, "--help")
    contains(out, "usage: tensair bench sustain", "--within")


def leaves_when_told():
    """A signal ends the run that is under way and removes what is temporary."""
    place = Place(CONFIG)
    for number in (signal.SIGINT, signal.SIGTERM):
        with tempfile.TemporaryDirectory() as tmp:
            process = subprocess.Popen([TENSAIR, "bench", "sustain", place.at("run.yaml")],
                                       env=dict(os.environ, TMPDIR=tmp), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            place.wait_for(lambda: any("metrics.jsonl" in files for _, _, files in os.walk(tmp)), process)
            process.send_signal(number)
            start = time.monotonic()
            process.communicate(timeout=60)
            check(process.returncode == -number, f"exit status {process.returncode}")
            check(time.monotonic() - start < 20, "it took long to leave")
            check(os.listdir(tmp) == [], f"left behind: {os.listdir(tmp)}")


def counts_words():
    place = place_with_text(WORDS, lines=2000)
    within = 8
    for _ in range(3):
        code, out, err = sustain(place, "--within", within, "--seeds", 1, "--precision", 0.1, "--set", "pace.type=poisson",
                                 expect=None, env=BOTTLENECK)
        if code == 0:
            break
        within = longer(err)
    contains(out, "sentences/s", "words/s", "poisson pacing")


if __name__ == "__main__":
    tells_what_is_wrong()
    leaves_when_told()
    finds_the_bottleneck()
    counts_words()
    print("ok")
