#!/usr/bin/python3
"""model.h5 as h5py, h5ls and h5dump see it, its predictions by NumPy from the file alone, and files in the forms of
Keras read back; what does not fit is refused with a message that names it."""
import json
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

from keras_models import MODELS, Driver, forward, records, text


def same(a, b, what):
    error = np.abs(a - b).max()
    print("%-50s %.2e" % (what, error))
    assert error < 1e-5, what


def check_layout(f):
    assert text(f.attrs["backend"]) == "tensorflow" and text(f.attrs["keras_version"]).startswith("2.")
    assert f.attrs["tensair_steps"] == 12 and f.attrs["tensair_records"] == 384
    assert f.attrs["tensair_input_scale"] == .5 and f.attrs["tensair_input_offset"] == 1
    assert "description" in f.attrs and "units" in f.attrs
    weights = f["model_weights"]
    names = [text(n) for n in weights.attrs["layer_names"]]
    assert set(names) <= set(weights)
    for name in names:
        for tensor in map(text, weights[name].attrs["weight_names"]):
            data = weights[name][tensor]
            assert tensor.startswith(name + "/") and tensor.endswith(":0"), tensor
            assert data.dtype == np.float32 and "description" in data.attrs and "units" in data.attrs


def check_tools(path):
    for tool in (["h5ls", "-r"], ["h5dump", "-A"]):
        if not shutil.which(tool[0]):
            print("(no %s here: install hdf5-tools)" % tool[0])
            continue
        out = subprocess.run([*tool, path], check=True, capture_output=True, text=True)
        assert "model_weights" in out.stdout and not out.stderr, out.stderr


def rewrite(source, target, edit):
    """A file of save_weights: layers at the root, in Keras' plain form. `edit(name, tensors)` may change any of it."""
    with h5py.File(source) as a, h5py.File(target, "w") as b:
        names = []
        for name in map(text, a["model_weights"].attrs["layer_names"]):
            group = a["model_weights"][name]
            tensors = [(t, group[t][()]) for t in map(text, group.attrs["weight_names"])]
            name, tensors = edit(name, tensors)
            b.create_group(name).attrs["weight_names"] = [t.encode() for t, _ in tensors]
            for t, data in tensors:
                b[name][t] = data
            names.append(name.encode())
        b.attrs["layer_names"] = names
        b.attrs["backend"] = b"tensorflow"


def check_reading(driver, path, x, expected):
    other = driver.path("other.h5")
    rewrite(path, other, lambda name, t: (name, t))
    same(driver.predict("cnn", other, x), expected, "cnn: weights at the root, by name")
    rewrite(path, other, lambda name, t: ("x_" + name, [("y" + n, d) for n, d in t]))
    same(driver.predict("cnn", other, x), expected, "cnn: foreign names, by order")
    rewrite(path, other, lambda name, t: (name, [(n, d.astype(np.float64)) for n, d in t]))
    same(driver.predict("cnn", other, x), expected, "cnn: float64")
    wrong = [
        (lambda name, t: (name, [(n, d[..., :-1]) for n, d in t]), "shape"),
        (lambda name, t: (name, t[:1]), "tensors"),
        (lambda name, t: (name, t if name != "dense" else []), "dense"),
        (lambda name, t: (name, [(n, np.full_like(d, np.nan)) for n, d in t]), "finite"),
        (lambda name, t: (name, [(n, d.astype("S4")) for n, d in t]), "kernel"),
        (lambda name, t: (name, [(n, d.ravel()) for n, d in t]), "shape"),
    ]
    for edit, word in wrong:
        rewrite(path, other, edit)
        message = driver.refuses("cnn", other)
        print("refused:", message.strip())
        assert word in message and other in message
    with h5py.File(other, "w") as f:
        f["layers/dense/vars/0"] = np.zeros(3)
    assert "Keras 3" in driver.refuses("cnn", other)
    with h5py.File(other, "w") as f:
        f["x"] = np.zeros(3)
    assert "not a Keras file" in driver.refuses("cnn", other)


def main():
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(sys.argv[1], folder)
        for name in MODELS:
            path, x = driver.write(name), records(name)
            expected = driver.predict(name, path, x)
            with h5py.File(path) as f:
                check_layout(f)
                print(name, "is", json.loads(f.attrs["model_config"])["class_name"])
                same(forward(f, x), expected, name + ": NumPy from the file")
            check_tools(path)
            if name == "cnn":
                check_reading(driver, path, x, expected)


main()
