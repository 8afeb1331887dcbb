#!/usr/bin/python3
"""Importers against NumPy, Python's csv and collections.Counter, and djpeg: byte for byte.
The argument says which one."""
import collections
import csv
import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib

import h5py
import numpy as np

from stream_tool import check, finish, info, real, run, skip, work


def stream(name):
    f = h5py.File(work(name))
    check(f.attrs["format"] == "tensair-stream" and f.attrs["records"] == len(f["x"]), f"{name}: attributes")
    for dataset in f:
        check(f[dataset].attrs["description"] and f[dataset].attrs["units"], f"{name}: /{dataset} is not described")
    return f


def write(name, text):
    with open(work(name), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return work(name)


def idx():
    folder = real("mnist") or skip("no mnist/ under TENSAIR_DATA")
    for part, count in (("train", 60000), ("t10k", 10000)):
        names = [f"{folder}/{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        run("import", "idx", *names, "-o", work(f"{part}.h5"))
        images = np.frombuffer(gzip.open(names[0]).read(), np.uint8, offset=16).reshape(count, 28, 28, 1)
        labels = np.frombuffer(gzip.open(names[1]).read(), np.uint8, offset=8)
        with stream(f"{part}.h5") as f:
            check((f["x"][:] == images).all() and (f["y"][:] == labels).all(), f"{part}: differs from the IDX files")
            check(abs(f.attrs["scale"] * 255 - 1) < 1e-6 and f.attrs["classes"] == 10, f"{part}: scale or classes")
        said = info(work(f"{part}.h5"), "--verify")
        check(said["class_counts"] == np.bincount(labels).tolist() and said["verified"], f"{part}: info")
        check(abs(said["mean"] - images.mean()) < 1e-4, f"{part}: mean")
    plain = [write(f"plain{i}", gzip.open(n).read()) for i, n in enumerate(names)]
    run("import", "idx", *plain, "-o", work("plain.h5"), "--gzip", 4)
    check(info(work("plain.h5"))["checksum"] == said["checksum"], "plain and compressed files give different streams")
    check(os.path.getsize(work("plain.h5")) < 3e6, "--gzip did not compress")


def cifar10():
    folder = real("cifar10-head") or skip("no cifar10-head/ under TENSAIR_DATA")
    batches = [f"{folder}/data_batch_head_{i}.bin.gz" for i in range(4)]
    run("import", "cifar10", *batches, "-o", work("c.h5"))
    rows = np.concatenate([np.frombuffer(gzip.open(b).read(), np.uint8).reshape(-1, 3073) for b in batches])
    with stream("c.h5") as f:
        check((f["y"][:] == rows[:, 0]).all(), "CIFAR-10: labels")
        check((f["x"][:] == rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all(), "CIFAR-10: pixels")
        check([n.decode() for n in f.attrs["class_names"]][3] == "cat", "CIFAR-10: names of the classes")


def tables():
    here = os.path.join(os.environ["SOURCE_DIR"], "experiments", "schemas")
    folder = real("elec2") or skip("no elec2/ under TENSAIR_DATA")
    run("import", "csv", f"{folder}/elec2_data.dat.gz", "--labels", f"{folder}/elec2_label.dat.gz", "--schema",
        f"{here}/electricity.yaml", "-o", work("e.h5"))
    data, label = np.loadtxt(f"{folder}/elec2_data.dat.gz"), np.loadtxt(f"{folder}/elec2_label.dat.gz", int)
    days = np.eye(7, dtype=np.float32)[data[:, 1].astype(int) - 1]
    with stream("e.h5") as f:
        check((f["x"][:] == np.hstack([days, data[:, [2, 4, 5, 6, 7]]]).astype(np.float32)).all(), "Electricity: x")
        check((f["y"][:] == label).all(), "Electricity: y")
    folder = real("sea") or skip("no sea/ under TENSAIR_DATA")
    run("import", "csv", f"{folder}/SEA_training_data.csv.gz", "--labels", f"{folder}/SEA_training_class.csv.gz",
        "--schema", f"{here}/sea.yaml", "-o", work("s.h5"))
    with stream("s.h5") as f:
        data = np.loadtxt(f"{folder}/SEA_training_data.csv.gz", np.float32, delimiter=",")
        check((f["x"][:] == data).all(), "SEA: x")
        check((f["y"][:] == np.loadtxt(f"{folder}/SEA_training_class.csv.gz", int)).all(), "SEA: y")
        check([n.decode() for n in f.attrs["class_names"]] == ["above", "below"], "SEA: names")


SCHEMA = """
delimiter: ";"
header: true
missing_values: ["", "?"]
columns:
  - {name: when, role: t, format: "%Y-%m-%d %H:%M:%S"}
  - {name: colour, role: x, type: category}
  - {name: size, role: x, type: category, categories: [small, large], encode: index, missing: fill, fill: large}
  - {name: weight, role: x, missing: fill, fill: "-1"}
  - {name: remark, role: ignore}
  - {name: pair, role: x, repeat: 2, missing: skip}
  - {name: kind, role: y, type: category, missing: fill}
"""


def csv_by_hand():
    """Quotes, CR LF, learned categories, missing values, times: against Python's csv."""
    rng = np.random.default_rng(1)
    colours, kinds = ["red", "a;b", 'say "x"', "two\nlines", "blue "], ["10", "9", "100", "?"]
    rows, text = [], io.StringIO()
    out = csv.writer(text, delimiter=";", lineterminator="\r\n")
    out.writerow(["when", "colour", "size", "weight", "remark", "pair", "pair", "kind"])
    for i in range(3000):
        rows.append([f"2020-02-{28 + i // 1000:02d} 10:{i // 60 % 60:02d}:{i % 60:02d}.25"
                     if i < 2000 else f"2020-03-01 00:00:{i % 60:02d}", colours[rng.integers(5)],
                     ["small", "large", ""][rng.integers(3)], ["?", "1e-3", "+2.5", "-7"][rng.integers(4)],
                     "\"quoted\" é", str(i), "" if i % 50 == 7 else "0.125", kinds[rng.integers(4)]])
    rows.sort(key=lambda row: row[0])
    out.writerows(rows)
    write("t.csv", b"\xef\xbb\xbf" + text.getvalue().encode())
    write("t.csv.gz", gzip.compress(text.getvalue().rstrip("\r\n").encode()))
    for name in ("t.csv", "t.csv.gz"):
        run("import", "csv", work(name), "--schema", write("t.yaml", SCHEMA), "-o", work(f"{name}.h5"))
    kept = [row for row in rows if row[6] != ""]
    names = sorted(c for c in colours)
    x = np.array([[*(row[1] == n for n in names), row[2] != "small", -1 if row[3] == "?" else float(row[3]),
                   float(row[5]), float(row[6])] for row in kept], np.float32)
    y = np.array([{"9": 0, "10": 1, "100": 2, "?": -1}[row[7]] for row in kept])
    t = np.array([row[0] + ("" if "." in row[0] else ".00") for row in kept], "datetime64[ns]").astype(np.int64)
    with stream("t.csv.h5") as f, stream("t.csv.gz.h5") as g:
        for dataset, expected in (("x", x), ("y", y), ("t", t - t[0])):
            check(f[dataset].shape == expected.shape and (f[dataset][:] == expected).all(), f"CSV: /{dataset}")
            check((g[dataset][:] == expected).all(), f"CSV, gzip: /{dataset}")
        check([n.decode() for n in f.attrs["class_names"]] == ["9", "10", "100"], "CSV: classes in order of value")
    said = info(work("t.csv.h5"))
    check(said["unlabelled"] == int((y == -1).sum()), "CSV: records without a label")
    lone = 'columns:\n  - {name: p, role: x}\n  - {name: c, role: y, type: category, categories: ["a\\rb", "a"]}\n'
    run("import", "csv", write("r.csv", "1,a\r\n2,a\rb\n3,a"), "--schema", write("r.yaml", lone), "-o", work("r.h5"))
    with stream("r.h5") as f:
        check((f["y"][:] == [1, 0, 1]).all(), "CSV: a CR that ends no line")
    values = ("shape: [2, 2, 1]\nelement: uint8\ncolumns:\n"
              "  - {name: p, role: x, repeat: 4}\n  - {name: v, role: y, repeat: 2}\n")
    run("import", "csv", write("v.csv", "1,2,3,255,0.5,-1\n0,0,0,0,1e30,2\n"), "--schema", write("v.yaml", values),
        "-o", work("v.h5"))
    with stream("v.h5") as f:
        check(f["x"].shape == (2, 2, 2, 1) and f["x"].dtype == np.uint8 and f["x"][0, 1, 1, 0] == 255, "CSV: shape")
        check((f["y"][:] == np.array([[0.5, -1], [1e30, 2]], np.float32)).all(), "CSV: values to predict")


def text():
    source = real("text/enwiki_clean_100M.txt.gz") or skip("no text/ under TENSAIR_DATA")
    with gzip.open(source) as f:
        words = f.read(6_000_000).decode()
    words = words.replace(" the ", " the\n", 2000).replace(" of ", "\t of  \n\n", 500)
    lines = [line.split() for line in words.split("\n")]
    for least, most, length in ((5, 0, 1000), (2, 3000, 40)):
        source = write("w.txt.gz", gzip.compress(words.encode(), 1))
        run("import", "text", source, "--min-count", least, "--sentence", length,
            *(["--vocabulary-size", most] if most else []), "-o", work("w.h5"), "--force")
        counts = collections.Counter(word for line in lines for word in line)
        kept = [(w, n) for w, n in counts.most_common() if n >= least][:most or None]
        number = {w: i for i, (w, _) in enumerate(kept)}
        sentences = []
        for line in lines:
            known = [number[w] for w in line if w in number]
            sentences += [known[i:i + length] for i in range(0, len(known), length)]
        x = np.full((len(sentences), length), -1, np.int32)
        for row, sentence in zip(x, sentences):
            row[:len(sentence)] = sentence
        with stream("w.h5") as f:
            names = f["vocabulary"][:].view(f"S{f['vocabulary'].shape[1]}").ravel()
            check([n.decode() for n in names] == [w for w, _ in kept], "text: vocabulary")
            check((f["vocabulary_count"][:] == [n for _, n in kept]).all(), "text: counts")
            check(f["x"].shape == x.shape and (f["x"][:] == x).all(), "text: sentences")
            check("y" not in f, "text: labels out of nowhere")


def png(pixels):
    """A PNG file of uint8 [h][w][channels]."""
    h, w, c = pixels.shape

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    colour = {1: 0, 3: 2, 4: 6}[c]
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, colour, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def pictures():
    rng = np.random.default_rng(2)
    made = {}
    for i in range(40):
        name = f"{'zebra ant cow'.split()[i % 3]}/{'deep/' if i % 4 == 0 else ''}{i:02d}.PNG"
        os.makedirs(os.path.dirname(work(f"tree/{name}")), exist_ok=True)
        made[name] = rng.integers(0, 256, (6, 8, 3), np.uint8)
        write(f"tree/{name}", png(made[name]))
    write("tree/ant/notes.txt", "not a picture")
    said = run("import", "images", work("tree"), "--as-found", "-o", work("found.h5"))
    check("1 files that are not called" in said, f"pictures: other files are not counted: {said}")
    order = sorted(made, key=lambda n: (n.split("/")[0], n))
    classes = np.array([["ant", "cow", "zebra"].index(n.split("/")[0]) for n in order])
    with stream("found.h5") as f:
        check((f["x"][:] == np.array([made[n] for n in order])).all(), "pictures: pixels of PNG files")
        check((f["y"][:] == classes).all(), "pictures: classes")
        found = f["x"][:]
    said = run("import", "images", work("tree"), "-o", work("a.h5"))
    check("shuffled by seed 1" in said, "pictures: shuffling is not said")
    run("import", "images", work("tree"), "--shuffle", 1, "-o", work("b.h5"))
    run("import", "images", work("tree"), "--shuffle", 2, "-o", work("c.h5"))
    sums = [info(work(n))["checksum"] for n in ("found.h5", "a.h5", "b.h5", "c.h5")]
    check(sums[1] == sums[2] and len(set(sums)) == 3, "pictures: shuffling")
    with stream("a.h5") as f:
        key = {made[n].tobytes(): c for n, c in zip(order, classes)}
        check(sorted(x.tobytes() for x in f["x"][:]) == sorted(key), "pictures: shuffling lost some")
        check(all(key[x.tobytes()] == y for x, y in zip(f["x"][:], f["y"][:])), "pictures: labels came apart")
    run("import", "images", work("tree"), "--as-found", "--resize", "4x2", "-o", work("small.h5"))
    mean = found.reshape(40, 2, 3, 4, 2, 3).mean(axis=(2, 4))
    with stream("small.h5") as f:
        check(np.abs(f["x"][:] - mean).max() <= 0.5 + 1e-9, "pictures: resizing is not the mean of the area")
    run("import", "images", work("tree"), "--gray", "-o", work("gray.h5"))
    check(info(work("gray.h5"))["shape"] == [6, 8, 1], "pictures: gray")


def jpeg():
    archive = real("cifar10-jpeg/images.tar.gz") or skip("no cifar10-jpeg/ under TENSAIR_DATA")
    djpeg = shutil.which("djpeg") or skip("no djpeg: apt-get install libjpeg-turbo-progs")
    names = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if len(parts) == 3 and parts[0] == "test" and member.isfile() and parts[2] < "0006":
                os.makedirs(work(f"jpeg/test/{parts[1]}"), exist_ok=True)
                names[member.name] = write(f"jpeg/{member.name}", tar.extractfile(member).read())
            if parts[0] == "train" and names:
                break
    check(len(names) == 60, f"{len(names)} pictures found, not 60")
    run("import", "images", work("jpeg"), "--split", "test", "--as-found", "-o", work("j.h5"))
    with stream("j.h5") as f:
        for name, x in zip(sorted(names), f["x"][:]):
            pnm = subprocess.run([djpeg, "-pnm", names[name]], stdout=subprocess.PIPE, check=True).stdout
            check(x.tobytes() == pnm[-3072:], f"{name} differs from what djpeg says")


{f.__name__: f for f in (idx, cifar10, tables, csv_by_hand, text, pictures, jpeg)}[sys.argv[1]]()
finish(0, f"{sys.argv[1]}: imports agree with the oracle")
