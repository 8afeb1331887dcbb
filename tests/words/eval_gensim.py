#!/usr/bin/python3
"""gensim reads what we export, and we read what gensim saves; its analogies and rank correlation are ours."""
import os
import sys
import tempfile

import eval_kit as kit
from eval_kit import np

try:
    from gensim.models import KeyedVectors
except ImportError as missing:
    print("SKIPPED: gensim is not installed:", missing)
    sys.exit(77)

ROWS, DIM = 800, 20


def main():
    rng = np.random.default_rng(14)
    words = ["w%dé" % i if i % 9 == 0 else "w%d" % i for i in range(ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        with open(at("q"), "w") as f:
            f.write(": one\n")
            for i in range(600):
                f.write(": gram-two\n" if i == 300 else "")
                f.write(" ".join(rng.choice(words, 4)) + "\n")
        with open(at("p"), "w") as f:
            for _ in range(150):
                f.write("%s\t%s\t%d\n" % (*rng.choice(words, 2), rng.integers(0, 10)))
        vectors = kit.plant(rng, ROWS, DIM, words, at("q"), .4, .15)
        kit.write_model(at("m.h5"), words, vectors, np.arange(ROWS, 0, -1))
        for kind in ("text", "binary"):
            kit.tensair("ckpt", "export", at("m.h5"), "--words", kind, "-o", at(kind))
            kv = KeyedVectors.load_word2vec_format(at(kind), binary=kind == "binary")
            assert list(kv.index_to_key) == words and kv.vectors.tobytes() == vectors.tobytes()
            kv.save_word2vec_format(at("theirs"), binary=kind == "binary")
            got = kit.ask(at("theirs"), "--analogies", at("q"), "--similarity", at("p"))
            accuracy, _ = kv.evaluate_word_analogies(at("q"), restrict_vocab=30000)
            assert abs(got["analogies"]["all"]["accuracy"] - accuracy) < 2 / 600, (got["analogies"]["all"], accuracy)
            spearman = kv.evaluate_word_pairs(at("p"))[1][0]
            assert abs(got["similarity"]["spearman"] - spearman) < 1e-4, (got["similarity"]["spearman"], spearman)
        print("eval: as gensim says;", got["analogies"]["all"])


main()
