"""What the scripts that ask word vectors share: files of vectors in every format, and the answers by NumPy."""
import json
import os
import subprocess
import sys

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print("SKIPPED: python3-h5py or python3-numpy is not installed:", missing)
    sys.exit(77)

TENSAIR = os.environ.get("TENSAIR") or sys.exit("TENSAIR names the program; run me through ctest")


def tensair(*words, code=0):
    run = subprocess.run([TENSAIR, *map(str, words)], capture_output=True, text=True)
    assert run.returncode == code, (words, run.returncode, run.stdout, run.stderr)
    return run.stdout if code == 0 else run.stderr


def ask(*words):
    return json.loads(tensair("eval", "words", *words, "--json"))


def write_model(path, words, vectors, counts=None):
    """As a word model's model.h5 holds them; an empty word is nobody's row."""
    coded = [w.encode() for w in words]
    longest = max(map(len, coded))
    with h5py.File(path, "w") as f:
        rows = np.frombuffer(b"".join(w.ljust(longest, b"\0") for w in coded), np.uint8).reshape(-1, longest)
        f["vocabulary"] = rows
        if counts is not None:
            f["vocabulary_count"] = np.asarray(counts, np.int64)
        f.attrs["vocabulary"] = len(words)
        f["model_weights/in/in/embeddings:0"] = np.asarray(vectors, np.float32)


def write_binary(path, words, vectors, end=b"\n"):
    with open(path, "wb") as f:
        f.write(b"%d %d\n" % vectors.shape)
        for word, v in zip(words, vectors):
            f.write(word.encode() + b" " + v.astype("<f4").tobytes() + end)


def write_text(path, words, vectors, form="%.9g"):
    with open(path, "w") as f:
        f.write("%d %d\n" % vectors.shape)
        for word, v in zip(words, vectors):
            f.write(word + " " + " ".join(form % x for x in v) + " \n")


def read_word2vec(path, binary):
    """Read as word2vec's own distance.c does: a word up to a blank, then the numbers."""
    data = open(path, "rb").read()
    head, body = data.split(b"\n", 1)
    rows, dim = map(int, head.split())
    words, vectors = [], np.empty((rows, dim), np.float32)
    if not binary:
        for i, line in enumerate(body.decode().split("\n")[:rows]):
            word, *numbers = line.split()
            words.append(word)
            vectors[i] = [np.float32(x) for x in numbers]
        return words, vectors
    at = 0
    for i in range(rows):
        blank = body.index(b" ", at)
        words.append(body[at:blank].decode())
        vectors[i] = np.frombuffer(body, "<f4", dim, blank + 1)
        at = blank + 1 + 4 * dim
        assert body[at:at + 1] == b"\n"
        at += 1
    assert at == len(body)
    return words, vectors


def unit(vectors):
    v = vectors.astype(np.float64)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def analogies(words, vectors, path, most):
    """[(section, asked, right, left out, how many could go either way by rounding)], as gensim and compute-accuracy do."""
    u = unit(vectors[:most])
    first = {}
    for i, w in enumerate(words[:most]):
        first.setdefault(w.lower(), i)
    rows = np.array(sorted(first.values()))
    place = {int(r): i for i, r in enumerate(rows)}
    sections, waiting = [], []
    for line in open(path):
        if line.startswith(":"):
            sections.append([line[1:].strip(), 0, 0, 0, 0])
        elif line.split():
            four = [first.get(w.lower()) for w in line.split()]
            if None in four:
                sections[-1][3] += 1
            else:
                waiting.append((len(sections) - 1, four))
    for at in range(0, len(waiting), 1000):
        some = waiting[at:at + 1000]
        a, b, c, d = np.array([four for _, four in some]).T
        scores = (u[b] - u[a] + u[c]) @ u[rows].T
        for i, (section, four) in enumerate(some):
            for r in four[:3]:
                scores[i, place[r]] = -np.inf
            answer = place[four[3]]
            rest = np.delete(scores[i], answer).max()
            sections[section][1] += 1
            sections[section][2] += bool(scores[i, answer] > rest)
            sections[section][4] += bool(abs(scores[i, answer] - rest) < 1e-5)
    return sections


def check_analogies(got, wanted):
    assert [s["name"] for s in got["sections"]] == [s[0] for s in wanted]
    for s, (name, asked, right, left_out, close) in zip(got["sections"], wanted):
        assert (s["asked"], s["left_out"]) == (asked, left_out), (s, asked, left_out)
        assert abs(s["right"] - right) <= close, (s, right, close)
        assert s["accuracy"] is None if asked == 0 else abs(s["accuracy"] - s["right"] / asked) < 1e-12
    for sum_, belongs in (("all", lambda n: True), ("syntactic", lambda n: n.startswith("gram")),
                          ("semantic", lambda n: not n.startswith("gram"))):
        for key in ("asked", "right", "left_out"):
            assert got[sum_][key] == sum(s[key] for s in got["sections"] if belongs(s["name"])), (sum_, key)


def ranks(x):
    """Mean ranks, the slow way."""
    x = np.asarray(x)
    return np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x])


def spearman(x, y):
    try:
        from scipy.stats import spearmanr
        return spearmanr(x, y)[0]
    except ImportError:
        return np.corrcoef(ranks(x), ranks(y))[0, 1]


def check_similarity(got, words, vectors, path):
    first, u, wanted = {}, unit(vectors), []
    for i, w in enumerate(words):
        first.setdefault(w.lower(), i)
    lines = [line.split() for line in open(path) if line.split() and not line.startswith("#")]
    assert got["pairs"] == len(lines) == len(got["cosines"])
    for (a, b, score), pair in zip(lines, got["cosines"]):
        assert pair["words"] == [a, b] and pair["score"] == float(score)
        i, j = first.get(a.lower()), first.get(b.lower())
        if i is None or j is None:
            assert pair["cosine"] is None
        else:
            assert abs(pair["cosine"] - u[i] @ u[j]) < 1e-9, pair
            wanted.append((float(score), pair["cosine"]))
    assert got["found"] == len(wanted)
    x, y = zip(*wanted)
    assert abs(got["spearman"] - spearman(x, y)) < 1e-9


def plant(rng, rows, dim, words, path, share, noise):
    """Random vectors in which about so many of the questions of a file have their answer where it is looked for."""
    v = rng.standard_normal((rows, dim)).astype(np.float32)
    first = {}
    for i, w in enumerate(words):
        first.setdefault(w.lower(), i)
    for line in open(path):
        four = [first.get(w.lower()) for w in line.split()]
        if not line.startswith(":") and None not in four and len(four) == 4 and rng.random() < share:
            u = unit(v[four[:3]])
            v[four[3]] = (u[1] - u[0] + u[2] + noise * rng.standard_normal(dim)) * rng.uniform(.5, 5)
    return v
