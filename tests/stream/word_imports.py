#!/usr/bin/python3
"""Importers of words against models of them in Python: what h5py sees must be what the model says, for random texts and
for real ones; what is wrong is refused with its place. The argument says which one."""
import collections
import gzip
import os
import random
import sys

import h5py
import numpy as np

from stream_tool import check, finish, info, real, run, skip, work

WORD_BYTES, RECORD_BYTES = 99, 4096
LETTERS = ["a", "b", "e", "z", "Z", "7", "'", "é", "ß", "Ж", "€", "\u3000", "\u00a0", "漢", "\U0001f30d", "\u0301", "\ufeff"]
SPACES = [" ", " ", " ", "  ", "\t", "\r\n", "\n", "\n\n", " \n ", "\v", "\f"]


def write(name, content):
    with open(work(name), "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    return work(name)


def random_text(rng):
    """Words of all lengths up to and beyond what is kept, lines of all lengths, some empty."""
    stock = ["".join(rng.choices(LETTERS, k=rng.choice([1, 2, 3, 5, 8, 30, 33, 50, 99, 100, 150]))) for _ in range(60)]
    dense = rng.choice([SPACES, [" "], ["\n"], [" "] * 30 + ["\n"], [" "] * 300 + ["\r\n"]])
    parts = [rng.choice(["", " ", "\n", "\ufeff"])]
    for _ in range(rng.choice([1, 20, 3000])):
        parts += [stock[int(rng.paretovariate(1)) % 60], rng.choice(dense)]
    return "".join(parts[:-1] if rng.random() < 0.5 else parts)


def lines_of(text):
    """Lists of words as bytes, cut as the importer cuts them, and how many were cut. White space is ASCII."""
    cut = 0
    lines = []
    for line in text.removeprefix("\ufeff").encode().split(b"\n"):
        words = []
        for word in line.split():  # of bytes: ASCII white space only
            kept = word[:WORD_BYTES].decode(errors="ignore").encode()
            cut += kept != word
            words.append(kept)
        lines.append(words)
    return lines, cut


def numbered(lines, least, most, length):
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
    return kept, x


def packed(lines):
    records, now, separator = [], b"", b""
    for line in lines:
        for word in line:
            if len(now) + len(separator) + len(word) > RECORD_BYTES:
                records.append(now)
                now, separator = b"", b""
            now += separator + word
            separator = b" "
        if len(now) > RECORD_BYTES // 2:
            records.append(now)
            now, separator = b"", b""
        separator = b"\n" if now else b""
    return records + [now] if now else records


def check_numbers(text, least, most, length, name="w.txt"):
    lines, cut = lines_of(text)
    kept, x = numbered(lines, least, most, length)
    options = ["--min-count", least, "--sentence", length, *(["--vocabulary-size", most] if most else [])]
    if not kept:
        return run("import", "text", work(name), *options, "-o", work("w.h5"), "--force", status=74, says=["words"])
    said = run("import", "text", work(name), *options, "-o", work("w.h5"), "--force")
    check((f"{cut} words of more than 99 bytes were cut" in said) == (cut > 0), f"text: cut words: {said}")
    with h5py.File(work("w.h5")) as f:
        names = f["vocabulary"][:].view(f"S{f['vocabulary'].shape[1]}").ravel().tolist()
        check(names == [w for w, _ in kept], "text: vocabulary")
        check(f["vocabulary_count"][:].tolist() == [n for _, n in kept], "text: counts")
        check(f["vocabulary"].shape[1] == max(len(w) for w in names), "text: width of the vocabulary")
        check(f.attrs["vocabulary"] == len(kept), "text: attribute vocabulary")
        check(f["x"].shape == x.shape and (f["x"][:] == x).all(), "text: sentences")
    return None


def check_text(text, name="w.txt"):
    lines, cut = lines_of(text)
    records = packed(lines)
    if not records:
        return run("import", "text", work(name), "--online", "-o", work("o.h5"), "--force", status=74,
                   says=["holds no words"])
    said = run("import", "text", work(name), "--online", "-o", work("o.h5"), "--force")
    check((f"{cut} words of more than 99 bytes were cut" in said) == (cut > 0), f"online: cut words: {said}")
    with h5py.File(work("o.h5")) as f:
        check(f.attrs["content"] == "text" and "vocabulary" not in f and "y" not in f, "online: attributes")
        check(f["x"].dtype == np.uint8 and f["x"].shape == (len(records), RECORD_BYTES), "online: shape of /x")
        rows = [row.tobytes() for row in f["x"][:]]
        check(rows == [r.ljust(RECORD_BYTES, b"\0") for r in records], "online: records")
    words = b"\n".join(row.rstrip(b"\0") for row in rows).split()
    check(words == [w for line in lines for w in line], "online: words were lost")
    for row in rows:
        row.decode()  # each record is UTF-8 by itself
    return None


def numbers():
    rng = random.Random(1)
    for i in range(30):
        text = random_text(rng)
        write("w.txt", gzip.compress(text.encode()) if i % 5 == 0 else text)
        check_numbers(text, rng.choice([1, 2, 5]), rng.choice([0, 1, 10]), rng.choice([1, 7, 1000]))


def online():
    rng = random.Random(2)
    for i in range(30):
        text = random_text(rng)
        write("w.txt", gzip.compress(text.encode()) if i % 5 == 0 else text)
        check_text(text)
    for room in range(-3, 4):  # the last word fits, or does not
        for end in ("", "\n", " "):
            text = "a " * 2000 + "b" * (96 + room) + end
            write("w.txt", text)
            check_text(text)
    for half in range(-2, 3):  # the line ends a record, or does not
        text = "c" * 50 + " " + "d " * ((2048 - 51) // 2) + "e" * (half + 4) + "\nnext line\n"
        write("w.txt", text)
        check_text(text)


def corpus():
    source = real("text/enwiki_clean_100M.txt.gz") or skip("no text/ under TENSAIR_DATA")
    with gzip.open(source) as f:
        text = f.read(3_000_000).decode(errors="ignore")
    write("w.txt", text)
    check_text(text)
    said = info(work("o.h5"), "--verify")
    check(said["text"] and said["words"] == len(text.split()), "info: words of a text")
    check_numbers(text, 5, 0, 1000)
    said = info(work("w.h5"), "--verify")
    kept, x = numbered(lines_of(text)[0], 5, 0, 1000)
    check(said["vocabulary"] == len(kept) and said["words"] == int((x >= 0).sum()), "info: words")
    check(said["commonest"] == [[w.decode(), n] for w, n in kept[:10]], "info: the commonest words")


def pairs():
    rng = np.random.default_rng(3)
    for contexts in (1, 5, 40):
        x = rng.integers(0, 1000, (500, 1 + contexts))
        y = rng.integers(0, 2, (500, contexts))
        rows = [" ".join(map(str, [*a, *b])) for a, b in zip(x, y)]
        text = "".join(row + ("\r\n" if i % 7 == 0 else " \n\n" if i % 50 == 0 else "\n") for i, row in enumerate(rows))
        for options, words in ([], x.max() + 1), (["--vocabulary", 5000], 5000):
            source = write("p.txt", "\n" + text.rstrip("\n") + "\t")
            run("import", "pairs", source, *options, "-o", work("p.h5"), "--force")
            with h5py.File(work("p.h5")) as f:
                check(f["x"].dtype == np.int32 and (f["x"][:] == x).all(), "pairs: x")
                check(f["y"].dtype == np.float32 and (f["y"][:] == y).all(), "pairs: y")
                check(f.attrs["vocabulary"] == words, "pairs: vocabulary")
            said = info(work("p.h5"), "--verify")
            check(said["vocabulary"] == words and said["commonest"] == [], "info: pairs")


def real_pairs():
    source = real("tensair/shakespeare_train.txt.gz") or skip("no tensair/ under TENSAIR_DATA")
    run("import", "pairs", source, "--vocabulary", 50000, "-o", work("p.h5"))
    rows = np.loadtxt(source, np.int64)
    check(rows.shape[1] == 11, "TensAIR's rows have other than 11 numbers")
    with h5py.File(work("p.h5")) as f:
        check((f["x"][:] == rows[:, :6]).all() and (f["y"][:] == rows[:, 6:]).all(), "TensAIR's rows")


def refused(kind, content, *options, says, status=74):
    run("import", kind, write("bad", content), *options, "-o", work("out.h5"), says=says, status=status)
    left = [name for name in ("out.h5", "out.h5.partial") if os.path.exists(work(name))]
    check(not left, f"{left} left behind")


def bad():
    for mode in (["--min-count", 1], ["--online"]):
        for nothing in ("", " \n\t\r\n", "\ufeff", gzip.compress(b"")):
            refused("text", nothing, *mode, says=["holds no words"])
        good = "ein Wort für sich "
        wrongs = (b"\xe9", b"\xc3", b"\xc3 ", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8",
                  b"\xe2\x82", b"\xf0\x9f\x8c", b"\xff\xfe", b"\xe2\x82z", b"\xf0\x9f\xc3\xa9")
        fronts = ("", good, good * 20000, "x" * 200)  # the third is longer than a buffer
        for i, wrong in enumerate(wrongs):
            front = fronts[i % 4].encode()
            refused("text", front + wrong + (b" and more" if i % 3 == 0 else b""), *mode,
                    says=[f"byte {len(front)} (0x{wrong[0]:02x}) does not begin", "iconv -f latin1 -t utf-8"])
        refused("text", good.encode("utf-16-le"), *mode, says=["byte 1 is NUL", "iconv -f utf-16"])
        refused("text", b"good words\0", *mode, says=["byte 10 is NUL"])
        run("import", "text", write("one", "word"), *mode, "-o", work("one.h5"), "--force")
        check(info(work("one.h5"))["records"] == 1 and info(work("one.h5"))["words"] == 1, "a text of one word")
    refused("text", "word", says=["none of its 1 words occurs 5 times"])
    for option in ("--min-count", "--vocabulary-size", "--sentence"):
        refused("text", "word", "--online", option, 2, says=["--online keeps the text"], status=2)
    refused("text", "word", "--vocabulary", 2, says=["--vocabulary is not for 'import text'"], status=2)
    refused("pairs", "1 2 1", "--online", says=["--online is not for 'import pairs'"], status=2)
    refused("pairs", "1 2 1", "--vocabulary", 2**31 + 1, says=["--vocabulary: '2147483649'"], status=2)
    for content, says in {
            "": "holds no rows", "\n \n": "holds no rows", "1": "line 1: 1 numbers", "1 2": "line 1: 2 numbers",
            "\n1 2 3 4": "line 2: 4 numbers", "1 2 1\n1 2": "line 2: 2 numbers, but 3",
            "1 2 1\n\n1 2 1 1\n": "line 3: 4 numbers, but 3", "1 2 2": "label 1 is 2", "1 -2 1": "byte 0x2d",
            "1 2 0.5": "byte 0x2e", "1 2 one": "byte 0x6f", "1,2,1": "byte 0x2c", "1 2 1\0": "byte 0x00",
            "1 2147483648 1": "larger than 2147483647", "1 99999999999999999999 1": "larger than 2147483647",
            "1 2 1\n3 9": "line 2: 2 numbers, but 3", "0 " * 8194: "more than 8193 numbers"}.items():
        refused("pairs", content, says=[says])
    refused("pairs", "1 2 1\n7 2 1\n", "--vocabulary", 7, says=["line 2: word 7, but --vocabulary 7 has 0 to 6"])
    run("import", "pairs", write("wide", "2147483647 " + "0 " * 8192), "-o", work("wide.h5"))
    check(info(work("wide.h5"))["vocabulary"] == 2**31, "the largest number of all")


def vocabulary():
    """What info says of vocabularies made by others: the commonest ten wherever they stand, nothing that is not known,
    and no control characters."""
    rng = random.Random(4)
    for words in (1, 9, 10, 11, 300):
        names = [f"w{i}".encode() for i in range(words)]
        names[0] = b"\x1b[31mred"
        counts = [rng.choice([0, 1, 2, 50, 10**12]) for _ in names]
        with h5py.File(work("v.h5"), "w") as f:
            f["x"] = np.array([[0, words - 1, -1], [-1, -1, -1]], np.int32)
            f["vocabulary"] = np.array(names, "S").view("u1").reshape(words, -1)
            f["vocabulary_count"] = np.array(counts)
        order = [i for i in sorted(range(words), key=lambda i: -counts[i]) if counts[i] > 0][:10]
        said = info(work("v.h5"))
        check(said["words"] == 2 and said["vocabulary"] == words, f"info: {said}")
        check(said["commonest"] == [[names[i].decode(), counts[i]] for i in order], f"info: commonest: {said}")
        check("\x1b" not in run("info", work("v.h5")), "info: an escape reaches the terminal")
        with h5py.File(work("v.h5"), "r+") as f:
            del f["vocabulary_count"]
        check(info(work("v.h5"))["commonest"] == [], "info: counts out of nowhere")
    run("info", write("v.h5", b""), status=74, says=["v.h5"])
    wrong = {"x": "holds word number 7", "vocabulary": "is not UTF-8", "vocabulary_count": "-5 times"}
    for change, says in wrong.items():
        with h5py.File(work("v.h5"), "w") as f:
            f["x"] = np.array([[7 if change == "x" else 0]], np.int32)
            f["vocabulary"] = np.array([[0xe9 if change == "vocabulary" else 0x65]], np.uint8)
            f["vocabulary_count"] = np.array([-5 if change == "vocabulary_count" else 5])
        run("info", work("v.h5"), status=74, says=["v.h5", says])


{f.__name__: f for f in (numbers, online, corpus, pairs, real_pairs, bad, vocabulary)}[sys.argv[1]]()
finish(0, f"{sys.argv[1]}: imports agree with the model")
