#!/usr/bin/python3
"""`tensair eval words` on made-up vectors against NumPy: analogies, similarity, neighbours; in every format of vectors."""
import os
import tempfile

import eval_kit as kit
from eval_kit import np

ROWS, DIM = 1500, 24


def make_words(rng):
    """Two or three letters in either case, so that some differ in case alone; a few beyond ASCII."""
    words, seen = [], set()
    while len(words) < ROWS:
        w = "".join(rng.choice(list("abcdeABxyé漢")) for _ in range(rng.integers(2, 6)))
        if w not in seen:
            seen.add(w)
            words.append(w)
    return words


def make_questions(rng, words, folder):
    path = os.path.join(folder, "questions.txt")
    with open(path, "w") as f:
        for name in ("capitals", "gram1-x", "never asked", "gram2-y"):
            f.write(": %s\n" % name)
            for _ in range(0 if name == "never asked" else 300):
                four = list(rng.choice(words, 4)) if rng.random() < .9 else ["zz"] * 4
                f.write(" ".join(w.upper() if rng.random() < .3 and w.isascii() else w for w in four) + "\n")
    return path


def make_pairs(rng, words, folder):
    path = os.path.join(folder, "pairs.txt")
    with open(path, "w") as f:
        f.write("# made up\n")
        for i in range(200):
            a, b = rng.choice(words, 2)
            f.write("%s\t%s\t%.1f\n" % (a, "nowhere" if i % 19 == 0 else b, rng.integers(0, 20) / 2))
    return path


def check_near(got, words, vectors, asked, most, top):
    u, first = kit.unit(vectors), {}
    for i, w in enumerate(words):
        first.setdefault(w.lower(), i)
    for word, answer in zip(asked, got):
        row = first[word.lower()]
        cosines = u[:most] @ u[row]
        assert answer["word"] == words[row]
        best = [i for i in np.argsort(-cosines, kind="stable") if i != row][:top]
        assert len(answer["near"]) == len(best)
        place = {w: i for i, w in enumerate(words)}
        for i, one in zip(best, answer["near"]):
            assert abs(one["cosine"] - cosines[i]) < 1e-5, (one, words[i], cosines[i])
            assert abs(cosines[place[one["word"]]] - cosines[i]) < 1e-5


def main():
    rng = np.random.default_rng(11)
    with tempfile.TemporaryDirectory() as folder:
        words = make_words(rng)
        questions, pairs = make_questions(rng, words, folder), make_pairs(rng, words, folder)
        vectors = kit.plant(rng, ROWS, DIM, words, questions, .5, .15)
        at = lambda name: os.path.join(folder, name)
        kit.write_text(at("v.txt"), words, vectors)
        kit.write_binary(at("v.bin"), words, vectors)
        kit.write_binary(at("bare.bin"), words, vectors, end=b"")
        # A model's rows in any order, with rows of nobody between them; counts with ties that the order of rows breaks.
        counts = np.sort(rng.integers(1, 900, ROWS))[::-1]
        shuffled = np.concatenate([np.arange(ROWS), np.full(100, -1)])
        rng.shuffle(shuffled)
        order = np.array(sorted(np.flatnonzero(shuffled >= 0), key=lambda r: (-counts[shuffled[r]], r)))
        kit.write_model(at("m.h5"), ["" if i < 0 else words[i] for i in shuffled],
                        [vectors[i] if i >= 0 else np.full(DIM, np.nan) for i in shuffled],
                        [0 if i < 0 else counts[i] for i in shuffled])
        sorted_words, sorted_vectors = [words[shuffled[r]] for r in order], vectors[shuffled[order]]
        kit.write_model(at("uncounted.h5"), words, vectors)
        rights = set()
        for name in ("v.txt", "v.bin", "bare.bin", "m.h5", "uncounted.h5"):
            w, v = (sorted_words, sorted_vectors) if name == "m.h5" else (words, vectors)
            for most in (0, 700):
                got = kit.ask(at(name), "--analogies", questions, "--similarity", pairs, "--most", most, "--near", w[3],
                              "--near", w[-1], "--top", 25)
                assert (got["words"], got["dim"]) == (ROWS, DIM)
                kit.check_analogies(got["analogies"], kit.analogies(w, v, questions, most or ROWS))
                kit.check_similarity(got["similarity"], w, v, pairs)
                check_near(got["near"], w, v, [w[3], w[-1]], most or ROWS, 25)
                rights.add(got["analogies"]["all"]["right"])
        assert all(20 < r < 700 for r in rights), rights  # neither none nor all: a wrong answer would show
        print("eval: as NumPy says;", sorted(rights), "right answers")


main()
