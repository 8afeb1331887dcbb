"""What run.sh is made of, without a GPU: the programs that measure go through their motions on the make-believe device,
the report keeps its word, and a machine without a driver gets 77 and a reason."""
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile

BUILD, SOURCE = os.environ["BUILD_DIR"], os.environ["SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "gpu"))
sys.dont_write_bytecode = True

from bench_report import Report  # noqa: E402

FAKE = os.path.join(BUILD, "tests", "gpu", "fake")
NEEDED = {
    "copy": ["copy_device_GBps", "copy_in_pinned_GBps", "copy_out_pinned_GBps"],
    "apply": ["apply_wrong_elements", "apply_8_inboxes_vs_copy", "update_momentum_vs_copy"],
    "put": ["put_wrong_words", "put_64MiB_vs_copy", "put_64MiB_bare_vs_copy"],
    "words": ["words_per_s", "words_share_of_copy", "words_vs_one_core"],
}


def check(holds, what):
    if not holds:
        sys.exit(f"bench_motions: {what}")


def run(*command, plugins=FAKE, given="", **env):
    env = {**os.environ, "TENSAIR_PLUGINS": plugins, "PYTHON": "/usr/bin/python3", **env}
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=100,
                          env=env, check=False)
    return done.returncode, done.stdout, done.stderr


def program(name):
    return os.path.join(BUILD, "tests", "gpu", f"gpu_bench_{name}")


def motions():
    for name, wanted in NEEDED.items():
        for order in ("lazy", "eager"):
            code, out, err = run(program(name), "--quick", TENSAIR_FAKE_GPU=f"order={order}")
            check(code == 0, f"{name}, {order}: exit status {code}: {err}")
            found = dict(re.findall(r"^FIGURE (\S+) (\S+) \S+$", out, re.M))
            check(set(wanted) <= set(found), f"{name}: figures {sorted(found)}, not {wanted}")
            check(all(float(v) == 0 if "wrong" in k else float(v) > 0 for k, v in found.items()), f"{name}: {found}")


def net():
    """A line each; what is not understood, or asked for too early, is an error and no more; the loss falls."""
    code, out, err = run(program("net"), "--quick", given="round 0.01\nnonsense\nprepare tiny 4 int8 1\n"
                         "prepare vgg 4 float32 1\nprepare tiny 4 float32 1\nround 0.01\nround 0.2\nfree\nround 1\n"
                         "prepare tiny 3 bfloat16 0\nround 0.01\n")
    lines = out.strip().split("\n")
    check(code == 0 and len(lines) == 11, f"net: exit status {code}: {out} {err}")
    begins = ["error"] * 4 + ["ready 516", "rate", "rate", "freed", "error", "ready 516", "rate"]
    check(all(line.startswith(b) for line, b in zip(lines, begins)), f"net: {out}")
    check(float(lines[6].split()[3]) < float(lines[5].split()[3]), f"net: the loss does not fall: {out}")


def peer():
    """The other side speaks the same language."""
    script = os.path.join(SOURCE, "tests", "gpu", "peer_pytorch.py")
    if run("/usr/bin/python3", "-c", "import torch")[0] != 0:
        return
    code, out, err = run("/usr/bin/python3", script, "--device", "cpu", given="round 1\nprepare tiny 4 float32 eager\n"
                         "round 0.01\nprepare tiny 4 float32 sideways\nfree\n")
    begins = [line.split()[0] for line in out.strip().split("\n")]
    check(code == 0 and begins == ["error", "ready", "rate", "error", "freed"], f"peer: {code} {out} {err}")


def without():
    """No plugin: 77, and why."""
    with tempfile.TemporaryDirectory() as empty:
        for name in (*NEEDED, "net"):
            code, _, err = run(program(name), plugins=empty)
            check(code == 77 and "SKIPPED" in err, f"{name} without a plugin: exit status {code}: {err}")
    code, _, err = run(program("copy"), "--nonsense")
    check(code == 1 and "--nonsense" in err, f"copy --nonsense: {code}: {err}")


def report():
    """Verdicts, exit statuses and the file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
        kept = Report(folder, 100, False)
        kept.figure("a", 0.81, "ratio", ">= 0.8")
        kept.figure("b", 3, "things")
        kept.skipped("c", "for want of it")
        check(kept.finish() == 0, "report: all that was asked holds, and yet it failed")
        kept.figure("d", 0.79, "ratio", ">= 0.8")
        kept.figure("e", float("nan"), "ratio", ">= 0.8")
        check(kept.finish() == 1, "report: a figure that misses, and no failure")
        believe = Report(folder, 100, True)
        believe.figure("f", 0.1, "ratio", ">= 0.8")
        check(believe.finish() == 77, "report: a ratio on the make-believe device was held to something")
        record = json.load(open(os.path.join(folder, "results.json"), encoding="utf-8"))
        check(record["make_believe"] and record["checks"][0]["verdict"] == "-", f"report: {record}")
        kept.begin(0)
        check(kept.left(10) == 0, "report: a step may go on although its time is up")
    check("FAIL    d" in said.getvalue() and "2 failed (d, e)" in said.getvalue(), f"report: {said.getvalue()}")


def script():
    """Of run.sh itself, what needs no build: usage, and a folder that nobody packed."""
    path = os.path.join(SOURCE, "tests", "gpu", "run.sh")
    check(run("bash", path, "--nonsense")[0] == 2, "run.sh --nonsense")
    check(run("bash", path, "--pack")[0] == 2, "run.sh --pack without a folder")
    check("--make-believe" in run("bash", path, "--help")[1], "run.sh --help")
    with tempfile.TemporaryDirectory() as empty:
        code, _, err = run("bash", path, "--from", empty)
        check(code == 2 and "--pack" in err, f"run.sh --from an empty folder: {code}: {err}")


for part in [globals()[name] for name in sys.argv[1:]] or (motions, net, without, report, script):
    part()
print("good")
