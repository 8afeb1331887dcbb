"""A made-up language for the tests of word models: topics whose words only meet each other, so that neighbours are known."""
import os
import random
import subprocess

import h5py
import numpy
from harness import TENSAIR, Place, fail

TOPICS, WORDS = 8, 12

CONFIG = """\
run: {seed: 7}
stream: {file: text.h5, batch: 8}
model: {type: skipgram, dim: 16, window: 3, negative: 4, sample: -1}
optimizer: {type: sgd, rate: 0.05, schedule: constant}
exchange: {rows_after: 8, rows_within: 0.05}
"""


def sentence(rng, topic, words):
    return " ".join(f"t{topic}w{min(rng.randrange(WORDS), rng.randrange(WORDS))}" for _ in range(words))


def text(lines, seed=3, topics=range(TOPICS)):
    rng = random.Random(seed)
    return "".join(sentence(rng, rng.choice(list(topics)), 20) + "\n" for _ in range(lines))


def data(place, *arguments):
    done = subprocess.run([TENSAIR, "data", *map(str, arguments)], cwd=place.path, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"data {arguments}: {done.stdout}{done.stderr}")


def place_with_text(config=CONFIG, lines=4000, options=("--sentence", 20), seed=3, topics=range(TOPICS)):
    place = Place(config)
    place.write("text.txt", text(lines, seed, topics))
    data(place, "import", "text", "text.txt", "-o", "text.h5", *options)
    return place


def newest(place, run_dir="run"):
    return place.at(run_dir, "checkpoint", place.checkpoints(run_dir)[-1])


def vectors(place, run_dir="run"):
    """{word: vector} of the newest checkpoint; rows without a name are left out."""
    with h5py.File(os.path.join(newest(place, run_dir), "model.h5"), "r") as file:
        table = file["model_weights/in/in/embeddings:0"][()]
        names = file["vocabulary"][()]
    words = [bytes(row).split(b"\0")[0].decode() for row in names]
    return {word: table[i] for i, word in enumerate(words) if word}


def purity(found):
    """The share of words whose nearest neighbour is of the same topic."""
    words = [w for w in found if w.startswith("t")]
    table = numpy.stack([found[w] for w in words]).astype("f8")
    table /= numpy.linalg.norm(table, axis=1, keepdims=True) + 1e-30
    near = table @ table.T
    numpy.fill_diagonal(near, -2)
    best = near.argmax(1)
    return sum(words[i].split("w")[0] == words[b].split("w")[0] for i, b in enumerate(best)) / len(words)
