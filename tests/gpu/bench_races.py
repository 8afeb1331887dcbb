"""Networks against PyTorch: both prepared, then rounds in turns, so that both see the same machine. Part of run.sh."""
import os
import select
import statistics
import subprocess
import time

# net, batch, compute; asked of ours against eager, against graphs; seconds of a round; rounds
CASES = [
    ("cifar10", 128, "bfloat16", 1.5, 1.0, 0.3, 5), ("cifar10", 128, "float32", 1.5, 1.0, 0.3, 5),
    ("cifar10", 1024, "bfloat16", 1.5, 1.0, 0.3, 5), ("cifar10", 1024, "float32", 1.5, 1.0, 0.3, 5),
    ("resnet50", 128, "bfloat16", 0.95, 0.95, 1.0, 3), ("resnet50", 128, "float32", 0.95, 0.95, 1.5, 3),
    ("resnet50", 128, "tf32", None, None, 1.0, 3), ("cifar10", 1024, "tf32", None, None, 0.3, 3),
]
MOTIONS = [("tiny", 4, "bfloat16", 1.5, 1.0, 0.01, 1), ("tiny", 4, "float32", 1.5, 1.0, 0.01, 1)]


class Silent(Exception):
    pass


class Side:
    """A program that answers each line by a line."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=env, start_new_session=True)
        self.rest = b""

    def ask(self, line, seconds):
        """The words of its answer. Silent: it failed, ended, or took too long; with what it said."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise Silent(self.last_words()) from None
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.close()
                raise Silent(f"'{line}' was not done within {seconds:.0f} s")
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                raise Silent(self.last_words())
            self.rest += more
        answer, self.rest = self.rest.split(b"\n", 1)
        words = answer.decode(errors="replace").split()
        if not words or words[0] == "error":
            raise Silent(" ".join(words[1:]) or "it answered nothing")
        return words

    def last_words(self):
        self.close()
        said = self.process.stderr.read().decode(errors="replace").strip().split("\n")[-1]
        return f"it ended with {self.process.returncode}: {said}"

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def alive(self):
        return self.process.poll() is None


def questions(sides, case):
    """What to ask of whom: ours without an update, ours, and the forms of PyTorch."""
    net, batch, compute = case[:3]
    wanted = {"gradient": f"prepare {net} {batch} {compute} 0", "ours": f"prepare {net} {batch} {compute} 1",
              "eager": f"prepare {net} {batch} {compute} eager", "graph": f"prepare {net} {batch} {compute} graph"}
    if compute == "bfloat16":
        wanted["pure"] = f"prepare {net} {batch} bfloat16_pure graph"
    return {who: line for who, line in wanted.items() if who in sides}


def race(sides, report, case):
    net, batch, compute, eager, graph, seconds, rounds = case
    name, rates, last = f"{net}_b{batch}_{compute}", {}, {}
    ready = []
    for who, line in questions(sides, case).items():
        try:
            last[who] = sides[who].ask(line, report.left(60))
            ready.append(who)
        except Silent as why:
            blame(report, f"{name}_{who}", who, why)
    for _ in range(rounds + 1):  # the first to warm up
        for who in list(ready):
            try:
                if report.left(60) < seconds:
                    raise Silent("no time left")
                answer = sides[who].ask(f"round {seconds}", report.left(60))
                rates.setdefault(who, []).append(float(answer[1]))
            except Silent as why:
                ready.remove(who)
                blame(report, f"{name}_{who}", who, why)
    for who in list(ready):
        try:
            sides[who].ask("free", report.left(20))
        except Silent:
            pass
    tell(report, name, {who: statistics.median(r[1:]) for who, r in rates.items() if len(r) > 1}, eager, graph)


def blame(report, name, who, why):
    """Only what is ours can fail, and only for want of something else than time."""
    late = report.left(60) < 2
    if late or who not in ("ours", "gradient"):
        report.skipped(name, "no time left" if late else why)
    else:
        report.failed(name, why)


def tell(report, name, rates, eager, graph):
    for who, rate in rates.items():
        report.figure(f"{name}_{'pytorch_' if who in ('eager', 'graph', 'pure') else ''}{who}", rate, "records/s")
    for peer, bound in (("eager", eager), ("graph", graph), ("pure", None)):
        if "ours" not in rates or peer not in rates:
            continue
        asked = f">= {bound}" if bound else ""
        report.figure(f"{name}_vs_pytorch_{peer}", rates["ours"] / rates[peer], "ratio", asked)


def races(place, report, peer):
    """All cases. One process a side, so that its warm-up is paid once; each of PyTorch's forms has one of its own."""
    program = place.program("gpu_bench_net")
    if program is None:
        report.skipped("networks", "gpu_bench_net was not built")
        return
    quick = ["--device", "cpu"] if place.make_believe else []
    mine = [program] + (["--quick"] if place.make_believe else [])
    theirs = [place.python, peer, *quick]
    # PyTorch brings its own libraries.
    sides = {"gradient": Side(mine, place.env), "ours": Side(mine, place.env)}
    sides |= {who: Side(theirs, dict(os.environ)) for who in ("eager", "graph", "pure")}
    try:
        for case in MOTIONS if place.make_believe else CASES:
            for who in [w for w, side in sides.items() if not side.alive()]:
                sides[who] = Side(mine if who in ("gradient", "ours") else theirs,
                                  place.env if who in ("gradient", "ours") else dict(os.environ))
            if report.left(60) < 10:
                report.skipped(f"{case[0]}_b{case[1]}_{case[2]}", "no time left")
            else:
                race(sides, report, case)
        apply_of_peer(sides["eager"], report)
    finally:
        for side in sides.values():
            side.close()


def apply_of_peer(side, report):
    """For scale: what stock PyTorch takes for the same sum, pass after pass."""
    try:
        report.figure("apply_pytorch_seconds", float(side.ask("apply", report.left(30))[1]), "s")
    except Silent as why:
        report.skipped("apply_pytorch_seconds", why)
