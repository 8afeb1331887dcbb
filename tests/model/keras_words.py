#!/usr/bin/python3
"""Word models as h5py and NumPy see them: what tables start from, computed again; model.h5, its layout and its words;
files in the forms of Keras read back; files that do not fit, refused with a message that names what. And, where the
Python of TENSAIR_KERAS_PYTHON has Keras, Keras' own prediction from model.h5 (`keras_words.py DRIVER keras`)."""
import json
import os
import subprocess
import sys
import tempfile

wants_keras = sys.argv[2:] == ["keras"]
python = os.environ.get("TENSAIR_KERAS_PYTHON")
if wants_keras and python and "TENSAIR_KERAS_AGAIN" not in os.environ:
    os.environ["TENSAIR_KERAS_AGAIN"] = "1"
    os.execv(python, [python, *sys.argv])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import h5py
    import numpy as np
    if wants_keras:
        import keras
except Exception as missing:  # a backend that is missing raises whatever it likes
    print("SKIPPED: h5py, NumPy or Keras is not installed in this Python:", missing)
    sys.exit(77)

WORDS = ["the", "of", "and", "über", "naïve", "x" * 40, "", "日本"] + ["word%d" % i for i in range(3000)]
FIXED, ONLINE = "model: {type: skipgram, dim: 25}\n", "model: {type: cbow, dim: 16, vocabulary: 700}\n"


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def cell(seed, place):
    """ta_rng_cell of rng.h, from its description: two rounds of lowbias32."""
    def rounds(x):
        for shift, factor in ((16, 0x7feb352d), (15, 0x846ca68b)):
            x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xffffffff)
        return x ^ (x >> np.uint64(16))
    place = place.astype(np.uint64)
    low, high = np.uint64(seed & 0xffffffff), np.uint64(seed >> 32)
    x = rounds((place & np.uint64(0xffffffff)) ^ low)
    x = (x + high + (place >> np.uint64(32)) * np.uint64(0x9e3779b9)) & np.uint64(0xffffffff)
    return (rounds(x) >> np.uint64(8)).astype(np.float32) * np.float32(2. ** -24) - np.float32(.5)


class Driver:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def put(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as out:
            out.write(content.encode())
        return path

    def write(self, config, words, seed, name="m.h5"):
        out = os.path.join(self.folder, name)
        subprocess.run([self.program, "write", self.put("c.yaml", config), words, str(seed), out], check=True)
        return out

    def read(self, config, words, path, code=0):
        out = os.path.join(self.folder, "arena")
        run = subprocess.run([self.program, "read", self.put("c.yaml", config), words, path, out], capture_output=True,
                             text=True)
        assert run.returncode == code, (run.returncode, run.stderr)
        if code:
            print("refused:", run.stderr.strip())
            return run.stderr
        head, arena = open(out, "rb").read().split(b"\n", 1)
        arena, numbers = np.frombuffer(arena, np.float32), list(map(int, head.split()))
        tables = []
        for i in range(0, len(numbers), 4):
            offset, rows, width, stride = numbers[i:i + 4]
            tables.append(arena[offset:offset + rows * stride].reshape(rows, stride))
            if width < stride:
                assert not tables[-1][:, width:].any(), "padding is not zero"
            tables[-1] = tables[-1][:, :width]
        return tables


def expected(rows, dim, seed):
    stride = -(-dim // 8) * 8
    place = np.arange(rows)[:, None] * stride + np.arange(dim)
    table = np.float32(1) / np.float32(dim) * cell(seed, place)
    out = np.repeat((np.float32(1) / (2 + np.arange(rows, dtype=np.float32)))[:, None], dim, 1)
    return table, out


def check_file(path, words, table, out):
    with h5py.File(path) as f:
        weights = f["model_weights"]
        names = [text(n) for n in weights.attrs["layer_names"]]
        assert names == ["word", "context", "in", "out", "dot", "flatten", "sigmoid"], names
        for name, data in (("in", table), ("out", out)):
            assert list(map(text, weights[name].attrs["weight_names"])) == [name + "/embeddings:0"]
            stored = weights[name][name]["embeddings:0"]
            assert stored.dtype == np.float32 and stored.shape == data.shape
            assert stored.attrs["description"] and stored.attrs["units"]
            assert np.array_equal(stored[()], data), name
        assert all(len(weights[n].attrs["weight_names"]) == 0 for n in names if n not in ("in", "out"))
        found = f["vocabulary"][()]
        assert [bytes(w).rstrip(b"\0").decode() for w in found] == words
        assert f["vocabulary_count"].shape == (len(words),) and f.attrs["vocabulary"] == len(words)
        model = json.loads(f.attrs["model_config"])
        layers = {layer["name"]: layer for layer in model["config"]["layers"]}
        assert model["class_name"] == "Functional" and list(layers) == names
        assert all(layers[n]["config"]["dtype"] == "int32" for n in ("word", "context"))
        assert layers["in"]["config"]["input_dim"] == len(words)
        assert f.attrs["tensair_steps"] == 12 and text(f.attrs["backend"]) == "tensorflow"


def check_forms(driver, words, path, tables):
    """Files of Keras' own: no vocabulary, layers at the root, other names, another type."""
    other = os.path.join(driver.folder, "other.h5")
    for names, kind in ((("in", "out"), "f4"), (("embedding", "embedding_1"), "f8")):
        with h5py.File(path) as a, h5py.File(other, "w") as b:
            for name, ours in zip(names, ("in", "out")):
                weight = "%s/embeddings:0" % name
                b.create_group(name).attrs["weight_names"] = [weight.encode()]
                b[name][weight] = a["model_weights"][ours][ours]["embeddings:0"][()].astype(kind)
            b.attrs["layer_names"] = [n.encode() for n in names]
        for ours, theirs in zip(driver.read(FIXED, words, other), tables):
            assert np.array_equal(ours, theirs)


def edited(driver, path, edit):
    other = os.path.join(driver.folder, "edited.h5")
    with open(path, "rb") as a, open(other, "wb") as b:
        b.write(a.read())
    with h5py.File(other, "r+") as f:
        edit(f)
    return other


def replace(name, change):
    def edit(f):
        data = change(f[name][()])
        del f[name]
        if data is not None:
            f[name] = data
    return edit


def first(value):
    def change(data):
        data = data.copy()
        data[3, 0] = value
        return data
    return change


def all_of(*edits):
    return lambda f: [edit(f) for edit in edits]


def shorter(f):
    for name in ("vocabulary", "vocabulary_count"):
        replace(name, lambda d: d[:-1])(f)
    f.attrs["vocabulary"] = len(f["vocabulary"])


def no_weights(f):
    f["model_weights/out"].attrs["weight_names"] = np.array([], "S1")


def check_refusals(driver, words, fixed, online):
    table, out = ("/model_weights/%s/%s/embeddings:0" % (n, n) for n in ("in", "out"))
    n, m = len(WORDS), 700
    wide = replace("vocabulary", lambda d: np.full((len(d), 32), ord("a"), np.uint8))
    cases = [
        (fixed, replace(table, lambda d: d[:-1]), "has shape %d x 25, the model needs %d x 25" % (n - 1, n)),
        (fixed, replace(out, lambda d: d[:, :-1]), "has shape %d x 24" % n),
        (fixed, replace(out, lambda d: d.ravel()), "has shape %d," % (n * 25)),
        (fixed, replace(out, first(np.inf)), "row 3 is not finite"),
        (fixed, replace(table, first(np.nan)), "row 3 is not finite"),
        (fixed, replace(table, lambda d: d.astype("S4")), table),
        (fixed, replace(table, lambda d: None), table),
        (fixed, no_weights, "no layer 'out'"),
        (fixed, shorter, "/vocabulary has %d words, the model has %d rows" % (n - 1, n)),
        (fixed, replace("vocabulary", lambda d: d[::-1]), "has other words than the stream"),
        (fixed, replace("vocabulary", first(0xff)), "UTF-8"),
        (fixed, replace("vocabulary", lambda d: d[:-1]), "counts"),
        (fixed, replace("vocabulary", lambda d: d.astype("f4")), "uint8"),
        (online, shorter, "/vocabulary has %d words, the model has %d rows" % (m - 1, m)),
        (online, wide, "at most 31 fit"),
        (online, all_of(replace("vocabulary", lambda d: None), replace("vocabulary_count", lambda d: None)),
         "vocabulary"),
    ]
    for path, edit, part in cases:
        config = FIXED if path == fixed else ONLINE
        bad = edited(driver, path, edit)
        message = driver.read(config, words if path == fixed else "-", bad, 74)
        assert part in message and bad in message, part
    assert "shape" in driver.read(FIXED.replace("25", "26"), words, fixed, 74)
    assert "vocabulary" in driver.read(ONLINE.replace("16", "25").replace("700", str(n)), "-", fixed, 74)


def check_keras(path, table, out):
    print("Keras", keras.__version__)
    model = keras.models.load_model(path, compile=False)
    a, b = np.array([[0], [3], [77]], np.int32), np.array([[5], [3], [2999]], np.int32)
    theirs = np.asarray(model([a, b])).ravel()
    ours = 1 / (1 + np.exp(-(table[a.ravel()].astype(float) * out[b.ravel()]).sum(1)))
    print("prediction differs by %.2e" % np.abs(ours - theirs).max())
    assert np.abs(ours - theirs).max() < 1e-6
    return model


def main():
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(sys.argv[1], folder)
        words, seed = driver.put("words", "\n".join(WORDS) + "\n"), 0xfedcba9876543210
        fixed, tables = driver.write(FIXED, words, seed), expected(len(WORDS), 25, seed)
        if wants_keras:
            saved = os.path.join(folder, "saved.h5")
            check_keras(fixed, *tables).save(saved)
            for ours, theirs in zip(driver.read(FIXED, words, saved), tables):
                assert np.array_equal(ours, theirs)
            return print("Keras reads model.h5, and its file is read back")
        check_file(fixed, WORDS, *tables)
        for ours, theirs in zip(driver.read(FIXED, words, fixed), tables):
            assert np.array_equal(ours, theirs)
        check_forms(driver, words, fixed, tables)
        online, tables = driver.write(ONLINE, "-", 7, "online.h5"), expected(700, 16, 7)
        check_file(online, ["row%d" % i for i in range(700)], *tables)
        back = driver.read(ONLINE, "-", online)
        assert np.array_equal(back[0], tables[0]) and np.array_equal(back[1], tables[1])
        names = np.ascontiguousarray(back[2]).view("S32").ravel()
        assert [n.decode() for n in names] == ["row%d" % i for i in range(700)]
        check_refusals(driver, words, fixed, online)
    print("word models are what NumPy says they are")


main()
