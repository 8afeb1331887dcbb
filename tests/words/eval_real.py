#!/usr/bin/python3
"""`tensair eval words` on the real questions and pairs, with made-up vectors of their words, against NumPy."""
import os
import sys
import tempfile

import eval_kit as kit
from eval_kit import np

ROWS, DIM, MOST = 3000, 32, 900
TEXT = os.path.join(os.environ.get("TENSAIR_DATA", ""), "text")
QUESTIONS, PAIRS = os.path.join(TEXT, "questions-words.txt"), os.path.join(TEXT, "EN-WS-353-ALL.txt")


def main():
    if not os.path.exists(QUESTIONS) or not os.path.exists(PAIRS):
        print("SKIPPED: TENSAIR_DATA names no folder with text/questions-words.txt and text/EN-WS-353-ALL.txt")
        sys.exit(77)
    rng = np.random.default_rng(12)
    words = {w.lower() for path in (QUESTIONS, PAIRS) for line in open(path) if line[0] != ":" for w in line.split()}
    words = [w for w in sorted(words) if not w[0].isdigit()]
    rng.shuffle(words)
    words = words[::11] + [w for i, w in enumerate(words) if i % 11]
    words = (words + ["filler%d" % i for i in range(ROWS)])[5:ROWS + 5]
    vectors = kit.plant(rng, ROWS, DIM, words, QUESTIONS, .05, .2)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "v.bin")
        kit.write_binary(path, words, vectors)
        got = kit.ask(path, "--analogies", QUESTIONS, "--similarity", PAIRS, "--most", MOST)
        kit.check_analogies(got["analogies"], kit.analogies(words, vectors, QUESTIONS, MOST))
        kit.check_similarity(got["similarity"], words, vectors, PAIRS)
        total = got["analogies"]["all"]
        assert total["asked"] + total["left_out"] == 19544 and len(got["analogies"]["sections"]) == 14
        assert 0 < total["right"] < total["asked"] and 300 < got["similarity"]["found"] < 353
        print("eval: as NumPy says;", total, got["similarity"]["found"], "pairs")


main()
