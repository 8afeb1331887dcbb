#!/usr/bin/python3
"""Word vectors to files and back: `tensair ckpt export --words` read by word2vec's rules, and wrong words on the way."""
import os
import subprocess
import sys
import tempfile

import eval_kit as kit
from eval_kit import np


def check_export(folder):
    rng = np.random.default_rng(13)
    words = ["w%d" % i for i in range(400)] + ["naïve", "漢字", "it's", ",", "0.5", "-1"]
    vectors = (rng.standard_normal((len(words), 7)) * 10.0 ** rng.integers(-30, 30, (len(words), 1))).astype(np.float32)
    counts = rng.integers(0, 50, len(words))
    named = [w if i % 5 else "" for i, w in enumerate(words)]
    order = [i for i in sorted(range(len(words)), key=lambda i: (-counts[i], i)) if named[i]]
    model, text, binary = (os.path.join(folder, n) for n in ("m.h5", "v.txt", "v.bin"))
    kit.write_model(model, named, vectors, counts)
    kit.tensair("ckpt", "export", model, "--words", "text", "-o", text)
    said = kit.tensair("ckpt", "export", model, "--words", "binary", "-o", binary)
    assert "exported" in said and binary in said
    for path, is_binary in ((text, False), (binary, True)):
        got_words, got = kit.read_word2vec(path, is_binary)
        assert got_words == [named[i] for i in order]
        assert got.tobytes() == vectors[order].tobytes()
    # From one format to the other and back: the same bytes.
    for source, kind, like in ((text, "binary", binary), (binary, "text", text), (binary, "binary", binary)):
        kit.tensair("ckpt", "export", source, "--words", kind, "-o", os.path.join(folder, "again"))
        assert open(os.path.join(folder, "again"), "rb").read() == open(like, "rb").read()
    assert sorted(os.listdir(folder)) == ["again", "m.h5", "v.bin", "v.txt"], os.listdir(folder)
    # word2vec.c writes six decimals.
    kit.write_text(text, words, vectors.clip(-9, 9), "%.6f")
    assert kit.ask(text, "--near", "0.5", "--top", 1)["words"] == len(words)


def check_wrong(folder):
    at = lambda name: os.path.join(folder, name)
    model, dense = at("m.h5"), at("dense.h5")
    vectors = np.eye(3, dtype=np.float32)
    kit.write_model(model, ["king", "queen", "Apple"], vectors, [3, 2, 1])
    with kit.h5py.File(dense, "w") as f:
        f["model_weights/dense/dense/kernel:0"] = vectors
    for name, text in (("empty", ""), ("plain", "king queen man woman\n"), ("pair", "king queen 7\n"),
                       ("two", ": a\nking queen\n"), ("words", "nothing of the kind\n"), ("big", "9 9\nking 1\n")):
        open(at(name), "w").write(text)
    os.mkdir(at("folder"))
    near = ("--near", "king")
    wrong = [
        (["eval"], 2, ["say words"]),
        (["eval", "pictures"], 2, ["say words"]),
        (["eval", "words"], 2, ["name one model"]),
        (["eval", "words", model], 2, ["--analogies FILE"]),
        (["eval", "words", model, dense, *near], 2, ["name one model"]),
        (["eval", "words", model, "--nera", "king"], 2, ["--nera", "--help"]),
        (["eval", "words", model, "--near"], 2, ["--near", "missing"]),
        (["eval", "words", model, *near, "--top", "0"], 2, ["--top", "'0'", "1 to 10000"]),
        (["eval", "words", model, *near, "--most", "many"], 2, ["--most", "many"]),
        (["eval", "words", model, "--near", "kign"], 2, ["'kign' is not among the 3 words", "did you mean 'king'?"]),
        (["eval", "words", model, "--near", ""], 2, ["'' is not among"]),
        (["eval", "words", model, "--near", "APPLE", "--keep-case"], 2, ["'APPLE' is not among"]),
        (["eval", "words", at("nowhere"), *near], 74, ["nowhere", "cannot read"]),
        (["eval", "words", at("folder"), *near], 74, ["folder"]),
        (["eval", "words", at("empty"), *near], 74, ["empty", "neither HDF5 nor word2vec's", "name a model.h5"]),
        (["eval", "words", at("words"), *near], 74, ["neither HDF5"]),
        (["eval", "words", at("big"), *near], 74, ["9 words of 9 numbers", "cut short"]),
        (["eval", "words", dense, *near], 74, [dense, "no /vocabulary", "skipgram or cbow"]),
        (["eval", "words", model, "--analogies", at("nowhere")], 74, ["nowhere"]),
        (["eval", "words", model, "--analogies", at("empty")], 74, ["empty", "has no section"]),
        (["eval", "words", model, "--analogies", at("plain")], 74, ["plain:1:", "before the first section"]),
        (["eval", "words", model, "--analogies", at("two")], 74, ["two:2:", "two words"]),
        (["eval", "words", model, "--similarity", at("empty")], 74, ["empty", "has no pair"]),
        (["eval", "words", model, "--similarity", at("plain")], 74, ["plain:1:"]),
        (["ckpt", "export", model, "--words", "pictures", "-o", at("x")], 2, ["text or binary", "pictures"]),
        (["ckpt", "export", model, "--words", "-o", at("x")], 2, ["export"]),
        (["ckpt", "export", model, "--words", "text"], 2, ["-o OUT"]),
        (["ckpt", "export", dense, "--words", "text", "-o", at("x")], 74, ["no /vocabulary"]),
        (["ckpt", "export", model, "--words", "text", "-o", at("none/x")], 74, ["none/x"]),
    ]
    for words, code, parts in wrong:
        said = kit.tensair(*words, code=code)
        assert len(said.splitlines()) == 1 and said.startswith("tensair %s: " % words[0]), said
        assert all(part in said for part in parts), (words, said, parts)
    assert not os.path.exists(at("x")) and not os.path.exists(at("x.part"))
    assert "--analogies" in kit.tensair("eval", "--help") == kit.tensair("eval", "words", "--help")
    assert "--words" in kit.tensair("ckpt", "export", "--help")


def check_said(folder):
    at = lambda name: os.path.join(folder, name)
    kit.write_text(at("v"), ["man", "woman", "king", "queen"], np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1.0]]))
    open(at("q"), "w").write(": royal\nMan woman king queen\nman woman king emperor\n: gram1-none\n")
    open(at("p"), "w").write("man king 8\nman woman 2\nman emperor 5\n")
    said = kit.tensair("eval", "words", at("v"), "--analogies", at("q"), "--similarity", at("p"), "--near", "KING",
                       "--top", "2")
    lines = [line.split() for line in said.splitlines()]
    for line in (["royal", "1", "1", "100.0", "1"], ["gram1-none", "0", "0", "-", "0"], ["all", "1", "1", "100.0", "1"],
                 ["near", "king"], ["man", "0.7071"], ["queen", "0.5000"]):
        assert line in lines, (line, said)
    assert "rank correlation 1.000: 2 of 3 pairs" in said and lines[-1] == ["queen", "0.5000"], said


def check_checkpoint(folder):
    """A run directory is its newest checkpoint; what is in model.h5 is what the program itself wrote there."""
    subprocess.run([sys.argv[1], "words", os.path.join(folder, "checkpoint"), "100", "200"], check=True)
    older, newest = (os.path.join(folder, "checkpoint", "000000%d00" % n) for n in (1, 2))
    with kit.h5py.File(os.path.join(newest, "model.h5")) as f:
        words = [bytes(row).rstrip(b"\0").decode() for row in f["vocabulary"][()]]
        u = kit.unit(f["model_weights/in/in/embeddings:0"][()])
    word = next(w for w in words if w)
    cosines = {w: x @ u[words.index(word)] for w, x in zip(words, u) if w and w != word}
    answers = [kit.ask(path, "--near", word, "--most", 0)
               for path in (folder, os.path.join(folder, "checkpoint"), newest, os.path.join(newest, "model.h5"), older)]
    for a in answers:
        assert a["words"] == len(cosines) + 1 and a["dim"] == u.shape[1]
        assert {one["word"] for one in a["near"][0]["near"]} == set(cosines)
    for a in answers[:4]:
        assert all(abs(one["cosine"] - cosines[one["word"]]) < 1e-5 for one in a["near"][0]["near"]), a
        assert a["near"] == answers[0]["near"] != answers[4]["near"]
    out = os.path.join(folder, "v")
    kit.tensair("ckpt", "export", folder, "--words", "binary", "-o", out)
    assert kit.ask(out, "--near", word, "--most", 0)["near"] == answers[0]["near"]


def main():
    for check in (check_export, check_wrong, check_said, check_checkpoint):
        with tempfile.TemporaryDirectory() as folder:
            check(folder)
    print("eval: files come back, wrong ones are named")


main()
