"""A vocabulary that reads real text as it comes, against one that counted all of it before: the same words with the
same counts when all candidates can be watched; in bounded memory, nearly all of the text."""
import collections
import gzip
import os
import subprocess
import sys
import tempfile

DRIVER = sys.argv[1]
NAME = "text/enwiki_clean_100M.txt.gz"
BYTES = 20_000_000
data = os.environ.get("TENSAIR_DATA")
if not data or not os.path.exists(os.path.join(data, NAME)):
    print(f"SKIPPED: {NAME} is not in $TENSAIR_DATA")
    sys.exit(77)


def learn(path, rows, candidates, fade):
    run = subprocess.run([DRIVER, str(rows), "5", str(candidates), str(fade), "0", "1"], text=True, capture_output=True,
                         input=f"file {path} {BYTES}\n", check=True)
    statistics, names = run.stdout.split(" :")
    pairs = (name.split(":") for name in names.split())
    words = {bytes.fromhex(word): int(count) for count, word in pairs if word}
    return words, [int(n) for n in statistics.split()[1:]]


with tempfile.NamedTemporaryFile() as file:
    with gzip.open(os.path.join(data, NAME)) as packed:
        text = packed.read(BYTES)
    text = text[:text.rindex(b" ")]
    file.write(text)
    file.flush()
    counts = collections.Counter(text.split())
    exact = {word: n for word, n in counts.items() if n >= 5}
    assert max(map(len, exact)) <= 31, "words are cut: count them so"

    words, (read, known, admitted, evicted, garbled, used) = learn(file.name, 60000, len(counts), 10**12)
    assert (read, garbled, evicted) == (sum(counts.values()), 0, 0)
    assert len(exact) < 60000 and words == exact, f"{len(words)} words, {len(exact)} by counting"
    assert admitted == used == len(exact)

    rows = 15000
    words, (read, known, *_) = learn(file.name, rows, 0, 0)
    top = [word for word, _ in counts.most_common(rows)]
    half, most, all_of_them = (sum(w in words for w in top[:n]) / n for n in (rows // 2, rows * 8 // 10, rows))
    covered = sum(counts[w] for w in words) / sum(counts[w] for w in top)
    print(f"{len(exact)} words, all as counted; in {rows} rows {half:.2%} of the commonest half, {most:.2%} of 80 %, "
          f"{all_of_them:.2%} of all, {covered:.3%} of the text that is theirs; {known / read:.2%} known when read")
    assert half > 0.999 and most > 0.99 and all_of_them > 0.9 and covered > 0.998
