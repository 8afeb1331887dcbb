"""A vocabulary against a plain one of dictionaries and searches: the same rows for every word, the same decisions, the
same counts, whatever is read (bytes that are no text, words longer than any buffer), whatever rows are called."""
import functools
import random
import re
import subprocess
import sys

DRIVER = sys.argv[1]
LONGEST = 31
M64 = (1 << 64) - 1


def mix(a, b):
    product = a * b
    return (product ^ (product >> 64)) & M64


@functools.lru_cache(maxsize=None)
def word_hash(word):
    a, b, c, d = (int.from_bytes(word.ljust(32, b"\0")[i:i + 8], "little") for i in range(0, 32, 8))
    low = mix(a ^ 0xa0761d6478bd642f, b ^ 0xe7037ed1a0b428db)
    high = mix(c ^ 0x8ebc6af09c88c6e3, d ^ 0x589965cc75374cc3)
    return mix(low ^ 0x1d8e4e27c47d124f, high ^ 0xeb44accab455d165)


def is_text(word):
    try:
        word.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


class Model:
    def __init__(self, rows, admit, candidates, fade, rank, ranks):
        self.rows, self.rank, self.ranks, self.candidates = rows, rank, ranks, candidates
        self.admit, self.fade = -(-admit // ranks), -(-fade // ranks)
        self.called, self.count = [b""] * rows, [0] * rows
        self.place, self.free, self.queue = [], [], []
        self.clock = self.since = 0
        self.words = self.known = self.admitted = self.evicted = self.garbled = 0

    def keeper(self, word):
        return (word_hash(word) & 0xffffffff) % self.ranks

    def row_of(self, word):
        if word not in self.called:
            return None
        rows = [r for r in range(self.rows) if self.called[r] == word]
        return min(rows, key=lambda r: (r % self.ranks != self.keeper(word), r), default=None)

    def stamp(self, place):
        self.clock += 1
        place["came"] = self.clock

    def watch(self, word, seen=1):
        if self.keeper(word) != self.rank:
            return
        place = next((p for p in self.place if p["used"] and p["word"] == word), None)
        if place is not None:
            place["seen"] += 1
        else:
            if self.free:
                place = self.free.pop()
                place["inherited"] = 0
            elif len(self.place) < self.candidates:
                place = {"inherited": 0, "queued": False}
                self.place.append(place)
            else:
                place = min(self.place, key=lambda p: (p["seen"] + p["inherited"], p["came"]))
                place["inherited"] += place["seen"]
            place.update(word=word, seen=seen, used=True)
        self.stamp(place)
        return place

    def watch_again(self, word):
        place = self.watch(word)
        if place and place["seen"] >= self.admit and not place["queued"]:
            place["queued"] = True
            self.queue.append(place)

    def drop(self, place):
        place["used"] = False
        self.free.append(place)

    def halve(self):
        self.count = [c - c // 2 for c in self.count]
        for p in sorted((p for p in self.place if p["used"]), key=lambda p: (p["seen"] + p["inherited"], p["came"])):
            p["seen"] //= 2
            p["inherited"] //= 2
            self.stamp(p)
        self.since = 0

    def read(self, text, most):
        found = []
        for word in re.split(rb"[ \t\n\v\f\r]+", text.split(b"\0")[0]):
            if len(found) == most:
                break
            if not word:
                continue
            if not is_text(word):
                self.garbled += 1
                continue
            word = word[:LONGEST].decode("utf-8", "ignore").encode()
            row = self.row_of(word)
            self.words += 1
            if row is None:
                self.watch_again(word)
            else:
                self.count[row] += 1
                self.known += 1
            found.append(-1 if row is None else row)
            self.since += 1
            if self.since == self.fade:
                self.halve()
        return "rows" + "".join(f" {r}" for r in found)

    def rename(self, row, word, seen):
        old, count = self.called[row], self.count[row]
        self.called[row], self.count[row] = b"", 0
        if old and count:
            heir = self.row_of(old)
            if heir is not None:
                self.count[heir] = count
        if not word:
            return
        for place in [p for p in self.place if p["used"] and p["word"] == word]:
            self.drop(place)
        before = self.row_of(word)
        self.called[row] = word
        if before is None:
            self.count[row] = max(seen, 1)
        elif self.row_of(word) == row:
            self.count[row], self.count[before] = max(seen, self.count[before]), 0

    def decide(self, most):
        done = []
        while len(done) < most and self.queue:
            place = self.queue.pop(0)
            place["queued"] = False
            if not place["used"] or place["seen"] < self.admit:
                continue
            count, row = min((self.count[r], r) for r in range(self.rank, self.rows, self.ranks))
            if count >= place["seen"]:
                continue
            self.evicted += count > 0
            self.admitted += 1
            done.append(f" {row}:{place['word'].hex()}")
            old = self.called[row]
            self.rename(row, place["word"], place["seen"])
            if count and self.row_of(old) is None:
                self.watch(old, count - count // 4)
        return "decided" + "".join(done)

    def set(self, row, seen, name):
        word = name.split(b"\0")[0]
        torn = len(word) > LONGEST or name[len(word):].strip(b"\0")
        if torn or re.search(rb"[ \t\n\v\f\r]", word) or not is_text(word):
            word = b""
        if row >= self.rows or self.called[row] == word:
            return "set 0"
        self.rename(row, word, seen)
        return "set 1"

    def state(self):
        rows = "".join(f" {c}:{w.hex() if c else ''}" for c, w in zip(self.count, self.called))
        used = sum(c > 0 for c in self.count)
        return f"state {self.words} {self.known} {self.admitted} {self.evicted} {self.garbled} {used} :{rows}"


def make_words(rng):
    words = [b"w%d" % i for i in range(rng.choice([3, 12, 60]))]
    words += ["žluťoučký".encode(), b"a\x1cb", b"\x7f", b"\x01"]
    cuts = ((0, 30), (0, 29), (0, 28), (15, 0), (15, 1), (3, 0))
    words += [("é" * k + "x" * j + "語" * 12).encode() for k, j in cuts]
    words += [b"y" * n for n in (31, 32, 33, 63, 64, 65, 200, 5000)]
    rng.shuffle(words)
    words += [b"\xff", b"ab\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"z" * 40 + b"\x80"]
    words += [b"\xf0\x9f\x98\x80"]
    return words


def make_text(rng, words):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    weights = [1 / (i + 1) for i in range(len(words))]
    chosen = rng.choices(words, weights if kind > 1 else None, k=rng.randrange(150 if kind > 1 else 9))
    text = b"".join(w + rng.choice([b" ", b" ", b"\n", b"\t", b" \r\n", b"\v", b"\f  ", b" " * 70]) for w in chosen)
    if rng.randrange(3) == 0:
        text = text[rng.randrange(len(text) + 1):][:rng.randrange(len(text) + 1)]
    if rng.randrange(8) == 0:
        text = text[:len(text) // 2] + b"\0" + text[len(text) // 2:]
    return text


def make_name(rng, words):
    if rng.randrange(4) == 0:
        return bytes(rng.choice([0, 0, 32, 97, 98, 195, 168]) for _ in range(32))
    word = rng.choice(words + [b""])[:32].ljust(32, b"\0")
    return word[:20] + rng.randbytes(1) + word[21:] if rng.randrange(10) == 0 else word


def one(seed):
    rng = random.Random(seed)
    ranks = rng.choice([1, 1, 2, 3])
    rows = rng.randrange(ranks, rng.choice([5, 12, 40]))
    arguments = [rows, rng.choice([1, 2, 5, 9]), rng.choice([1, 2, 7, 30, 500]), rng.choice([5, 60, 900, 10**9, 10**9]),
                 rng.randrange(ranks), ranks]
    model, words = Model(*arguments), make_words(rng)
    lines, wanted = [], []
    # Nobody, somebody now and then, or many who call rows by a few words, the same ones again and again.
    hears = rng.choice([0, 0, 0, 1, 2])
    for _ in range(40):
        what = rng.randrange(10 if hears < 2 else 25)
        if rng.randrange(10) == 0:
            words = words[7:] + words[:7]
        if what < 6:
            text, most = make_text(rng, words), rng.choice([0, 1, 3, 64, 65, 1000, 1000])
            lines.append(f"read {most} {text.hex()}")
            wanted.append(model.read(text, most))
        elif what < 8 or hears == 0:
            most = rng.choice([0, 1, 2, 1000, 1000])
            lines.append(f"decide {most}")
            wanted.append(model.decide(most))
        else:
            row, seen = rng.randrange(rows + 1), rng.choice([0, 1, 5, 40])
            name = make_name(rng, words[:40 if hears < 2 else 6])
            lines.append(f"set {row} {seen} {name.hex()}")
            wanted.append(model.set(row, seen, name))
        lines.append("state")
        wanted.append(model.state())
    run = subprocess.run([DRIVER, *map(str, arguments)], input="\n".join(lines), capture_output=True, text=True)
    assert run.returncode == 0, f"seed {seed}: exit {run.returncode}: {run.stderr}"
    got = run.stdout.splitlines()
    assert len(got) == len(wanted), f"seed {seed}: {len(got)} answers to {len(wanted)} questions"
    for i, (g, w) in enumerate(zip(got, wanted)):
        assert g == w, f"seed {seed}, {arguments}, line {i}: {lines[i][:200]}\n  got  {g}\n  want {w}"
    return model


admitted = evicted = garbled = 0
for case in range(int(sys.argv[2]) if len(sys.argv) > 2 else 120):
    result = one(case)
    admitted, evicted, garbled = admitted + result.admitted, evicted + result.evicted, garbled + result.garbled
print(f"{admitted} words admitted, {evicted} evicted, {garbled} garbled: as the plain one does")
assert admitted > 400 and evicted > 50 and garbled > 100, "these cases try nothing"
