"""A log of predictions, followed by h5py while it grows, and opened as any file afterwards; a writer that is killed."""
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

DRIVER, ROWS, BATCH = sys.argv[1], 120000, 100


def check_rows(file, n, kind):
    i = np.arange(n)
    assert (file["record"][:n] == 10 + i).all()
    assert (file["due_ns"][:n] == 1000 * i).all()
    assert (file["version"][:n] == i // BATCH).all()
    assert (file["answered_ns"][:n] == 1000 * (i // BATCH * BATCH) + BATCH).all()
    if kind == "class":
        assert (file["prediction"][:n] == np.where(i % 7 == 0, file["prediction"][:n], i % 7)).all()
        assert (file["prediction"][:n][i % 7 == 0] == 0).all()
        assert np.allclose(file["confidence"][:n], i % 7 / 8 + 0.1)
        assert (file["label"][:n] == np.where(i % 11 == 0, -1, i % 5)).all()
    else:
        assert (file["prediction"][:n] == i[:, None] + np.arange(3) / 4).all()
        assert (file["label"][:n] == -i).all() and "confidence" not in file


def follow(path, kind):
    """Opens it again and again, as a reader without patience would; and once, refreshing."""
    seen = []
    with h5py.File(path, "r", swmr=True) as held:
        while not seen or seen[-1] < ROWS:
            for name in list(held):
                held[name].id.refresh()
            n = held["record"].shape[0]
            assert not seen or n >= seen[-1], "rows were taken back"
            check_rows(held, n, kind)
            with h5py.File(path, "r", swmr=True) as fresh:
                check_rows(fresh, fresh["record"].shape[0], kind)
            seen.append(n)
            time.sleep(0.1)
    return seen


with tempfile.TemporaryDirectory() as folder:
    for kind in ("class", "value"):
        path = os.path.join(folder, kind + ".h5")
        with subprocess.Popen([DRIVER, path, str(ROWS), str(BATCH), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"open\n"
            seen = follow(path, kind)
            assert len(set(seen)) > 3, f"it grew in {len(set(seen))} steps only"
            assert writer.stdout.readline() == b"written\n"
            writer.communicate(b"\n")
        assert writer.returncode == 0
        with h5py.File(path, "r") as file:
            assert file.attrs["format"] == b"tensair-predictions" or file.attrs["format"] == "tensair-predictions"
            assert file.attrs["replica"] == 3 and file.attrs["life"] == 2 and file["due_ns"].attrs["units"] in (b"ns", "ns")
            assert file["record"].shape == (ROWS,)
            check_rows(file, ROWS, kind)
    path = os.path.join(folder, "killed.h5")
    with subprocess.Popen([DRIVER, path, "100000", str(BATCH), "class"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"open\n"
        time.sleep(2.3)
        writer.send_signal(signal.SIGKILL)
    with h5py.File(path, "r", swmr=True) as file:
        n = file["record"].shape[0]
        assert n > 0
        check_rows(file, n, "class")
    full = subprocess.run([DRIVER, "/dev/full/x.h5", "10", "1", "class"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    assert full.returncode == 1 and "/dev/full/x.h5" in full.stderr, full.stderr

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))

    path = os.path.join(folder, "large.h5")
    large = subprocess.run([DRIVER, path, str(ROWS), str(BATCH), "class"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True, preexec_fn=no_room, timeout=60)
    assert large.returncode == 1 and "large.h5" in large.stderr and len(large.stderr.splitlines()) == 1, large.stderr
print("followed while it grew:", seen[:3], "...", seen[-1])
