"""What the scripts of this folder share: the program, a folder of one's own, and checks that say what they saw."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

TENSAIR = os.environ["TENSAIR"]
DATA = os.environ.get("TENSAIR_DATA", "")
WORK = tempfile.mkdtemp(prefix="tensair-data-")


def run(*arguments, status=0, says=()):
    """`tensair data ARGUMENTS`: must end with `status`; when that is not 0, with one line that says all of `says`."""
    done = subprocess.run([TENSAIR, "data", *map(str, arguments)], capture_output=True, text=True)
    check(done.returncode == status, f"{arguments}: status {done.returncode}, not {status}: {done.stderr}")
    if status != 0:
        check(done.stderr.count("\n") == 1, f"{arguments}: not one line: {done.stderr}")
        for word in says:
            check(word in done.stderr, f"{arguments}: '{done.stderr.strip()}' does not say '{word}'")
    return done.stdout


def info(path, *options):
    return json.loads(run("info", path, "--json", *options))


def check(right, message):
    if not right:
        finish(1, f"FAILED: {message}")


def skip(reason):
    finish(77, f"SKIPPED: {reason}")


def finish(code, message):
    shutil.rmtree(WORK, ignore_errors=True)
    print(message, file=sys.stderr if code == 1 else sys.stdout)
    sys.exit(code)


def work(name):
    return os.path.join(WORK, name)


def real(name):
    """A file or folder below $TENSAIR_DATA, or None."""
    path = os.path.join(DATA, name)
    return path if DATA and os.path.exists(path) else None


try:
    import h5py  # noqa: F401
    import numpy  # noqa: F401
except ImportError:
    skip("this python has no numpy and h5py: apt-get install python3-numpy python3-h5py")
