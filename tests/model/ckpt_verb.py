#!/usr/bin/python3
"""`tensair ckpt` on made-up checkpoints: what it prints, what it exports, what it says of damage and of wrong words."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print("SKIPPED: python3-h5py or python3-numpy is not installed:", missing)
    sys.exit(77)

MAKE, TENSAIR = sys.argv[1], os.environ["TENSAIR"]


def ckpt(*words, code=0):
    run = subprocess.run([TENSAIR, "ckpt", *words], capture_output=True, text=True)
    assert run.returncode == code, (words, run.returncode, run.stdout, run.stderr)
    if code:
        lines = run.stderr.splitlines()
        assert lines[-1].startswith("tensair ckpt: ") and all(" warn " in line for line in lines[:-1]), run.stderr
    return run.stdout + run.stderr


def check_files(newest):
    """Everything in a checkpoint says what it is and in which units."""
    for name in ("model.h5", "replica-00000.h5", "replica-00001.h5"):
        with h5py.File(os.path.join(newest, name)) as f:
            objects = [f]
            f.visititems(lambda _, o: objects.append(o))
            for o in objects:
                if name.startswith("replica") or isinstance(o, h5py.Dataset):
                    assert o.attrs["description"] and o.attrs["units"], (name, o.name)
        for tool in (["h5ls", "-r"], ["h5dump", "-A"]):
            if shutil.which(tool[0]):
                subprocess.run([*tool, os.path.join(newest, name)], check=True, stdout=subprocess.DEVNULL)
    with h5py.File(os.path.join(newest, "replica-00001.h5")) as f:
        assert "w0" not in f and f.attrs["total_steps"] == 200 and f.attrs["rank"] == 1
        assert f["optimizer/m"].dtype == np.float32 and "v" not in f["optimizer"]
        assert list(f["peer_steps"]) == [100, 101]


def check_show(run, newest):
    out = ckpt("show", run)
    for part in (newest, "200 steps", "94 parameters", "5 x 7", "moving_variance", "verified", "done batches"):
        assert part in out, (part, out)
    facts = json.loads(ckpt("show", run, "--json"))
    assert facts["steps"] == 200 and facts["ranks"] == 2 and facts["epoch"] == 3 and facts["writers"] == 2
    assert facts["parameters"] == 5 * 7 + 7 + 4 * 7 + 7 * 3 + 3
    assert [r["rank"] for r in facts["replicas"]] == [0, 1] and facts["replicas"][1]["steps"] == 101
    with h5py.File(os.path.join(newest, "model.h5")) as f, h5py.File(os.path.join(newest, "replica-00000.h5")) as r:
        for t in facts["tensors"]:
            data = f["model_weights"][t["layer"]][t["layer"]][t["tensor"] + ":0"][()]
            assert list(data.shape) == t["shape"] and abs(np.linalg.norm(data.astype(float)) - t["norm"]) < 1e-6
        bits = np.unpackbits(r["stream/bits"][()].view(np.uint8)).sum()
        assert facts["replicas"][0]["done_batches"] == int(r["stream/base"][0]) + int(bits)
    assert json.loads(ckpt("show", os.path.join(newest, "model.h5"), "--json"))["parameters"] == facts["parameters"]


def check_export(run, newest, folder):
    out = os.path.join(folder, "out")
    ckpt("export", run, "-o", out)
    with h5py.File(os.path.join(newest, "model.h5")) as f:
        for name in ("dense/kernel", "dense/bias", "batch_norm/gamma", "dense_1/kernel"):
            layer, tensor = name.split("/")
            assert np.array_equal(np.load("%s/%s.%s.npy" % (out, layer, tensor)),
                                  f["model_weights/%s/%s/%s:0" % (layer, layer, tensor)][()])
        assert json.load(open(out + "/model_config.json")) == json.loads(f.attrs["model_config"])
    ckpt("export", newest, "-o", out + ".h5")
    assert open(out + ".h5", "rb").read() == open(newest + "/model.h5", "rb").read()
    assert "is there already" in ckpt("export", run, "-o", out, code=2)
    assert "cannot make" in ckpt("export", run, "-o", os.path.join(folder, "no/such/x.h5"), code=74)


def check_diff(run, older, newest, folder):
    assert "to the bit" in ckpt("diff", run, newest)
    out = ckpt("diff", older, newest, code=1)
    assert "/delta" in out and "total_steps" in out and "kernel:0" in out
    assert "differ in" in ckpt("diff", older, newest, "--tolerance", "50", code=1)  # the counts still differ
    a, b = os.path.join(older, "model.h5"), os.path.join(folder, "b.h5")
    shutil.copy(a, b)
    with h5py.File(b, "r+") as f:
        f["model_weights/dense/dense/kernel:0"][2, 3] += .01
    assert "1 of 35 numbers, by at most 0.01" in ckpt("diff", a, b, code=1)
    assert "within the tolerance" in ckpt("diff", a, b, "--tolerance", "0.011")
    with h5py.File(b, "r+") as f:
        del f["model_weights/dense/dense/bias:0"]
    assert "only in the first" in ckpt("diff", a, b, code=1)


def check_damage(run, older, newest):
    assert ckpt("verify", run).count("good") == 2
    assert "good" in ckpt("verify", newest) and "readable" in ckpt("verify", newest + "/model.h5")
    path = os.path.join(newest, "replica-00001.h5")
    data = bytearray(open(path, "rb").read())
    data[len(data) // 2] ^= 4
    open(path, "wb").write(data)
    assert "1 of 2 checkpoints are damaged" in ckpt("verify", run, code=74)
    assert "replica-00001.h5" in ckpt("show", newest, code=74)
    assert "100 steps" in ckpt("show", run)  # the newest that is whole
    with open(newest + "/model.h5", "r+b") as f:
        f.truncate(3000)
    assert "model.h5" in ckpt("show", newest + "/model.h5", code=74)
    open(older + "/DONE", "w").write("tensair checkpoint 1\nsteps x\n")
    assert "no complete checkpoint" in ckpt("show", run, code=74)


def check_words(folder):
    run, out = os.path.join(folder, "words"), os.path.join(folder, "vectors")
    subprocess.run([MAKE, "words", run + "/checkpoint", "100", "101"], check=True)
    older, newest = run + "/checkpoint/000000100", run + "/checkpoint/000000101"
    assert ckpt("verify", run).count("good") == 2
    shown = ckpt("show", run)
    for part in ("8 words in 9 rows", "7 layers, 2 tensors, 360 parameters", "embeddings", "9 x 20", "verified"):
        assert part in shown, (part, shown)
    facts = json.loads(ckpt("show", newest, "--json"))
    assert facts["words"] == 8 and facts["parameters"] == 360 and [r["steps"] for r in facts["replicas"]] == [50, 51]
    ckpt("export", newest, "-o", out)
    with h5py.File(newest + "/model.h5") as f, h5py.File(newest + "/replica-00000.h5") as r:
        for name in ("in", "out"):
            data = f["model_weights/%s/%s/embeddings:0" % (name, name)][()]
            assert np.array_equal(np.load("%s/%s.embeddings.npy" % (out, name)), data)
        assert bytes(f["vocabulary"][1]).rstrip(b"\0").decode() == "\u00fcbung"
        for o in (r["names"], r["names/delta"], r["names/w0"], r["w0"], r["delta"]):
            assert o.attrs["description"] and o.attrs["units"], o.name
        assert r["names/delta"].shape == (9, 32) and r["names/delta"].dtype == np.uint8
        assert r["delta"].shape == (2 * 224,) and "m" not in r["optimizer"]
        assert r.attrs["table_seed"] == -1 - 99 - 101 and r.attrs["vocabulary_checksum"] == "0" * 16
    with h5py.File(older + "/replica-00000.h5") as r:
        assert "w0" not in r and "names/w0" not in r and "names/delta" in r
    assert "to the bit" in ckpt("diff", run, newest)
    differs = ckpt("diff", older, newest, code=1)
    for part in ("embeddings:0", "/names/w0: only in the second", "table_seed", "/delta"):
        assert part in differs, (part, differs)


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        subprocess.run([MAKE, "layers", run + "/checkpoint", "100", "200"], check=True)
        older, newest = run + "/checkpoint/000000100", run + "/checkpoint/000000200"
        check_files(newest)
        check_show(run, newest)
        check_export(run, newest, folder)
        check_diff(run, older, newest, folder)
        check_damage(run, older, newest)
        check_words(folder)
        assert "usage:" in ckpt("--help") and "usage:" in ckpt("show", "--help")
        for words in ((), ("shwo",), ("show",), ("show", "--jsn", run), ("diff", run), ("export", run),
                      ("diff", run, run, "--tolerance", "x"), ("verify",)):
            ckpt(*words, code=2)
        assert folder + "/none" in ckpt("show", folder + "/none", code=74)
        assert "complete" in ckpt("show", folder, code=74)
    print("show, verify, diff and export say what is there")


main()
