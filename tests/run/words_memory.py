"""The resident memory of a replica of a word model: alone under 1.5 times its tables, with a peer what the design derives."""
import random

from harness import Place, check
from words_common import CONFIG, data

VOCABULARY, DIM = 40000, 300


def main():
    rng = random.Random(1)
    place = Place(CONFIG.replace("dim: 16", f"dim: {DIM}").replace("rows_after: 8, rows_within: 0.05", ""))
    words = [f"w{i}" for i in range(VOCABULARY)] * 5
    rng.shuffle(words)
    place.write("text.txt", " ".join(words))
    data(place, "import", "text", "text.txt", "-o", "text.h5")
    tables = 2 * VOCABULARY * DIM * 4
    place.train()
    peak = max(l["rss_bytes"] for l in place.metrics(kind="window"))
    print(f"one replica: {peak / 1e6:.0f} MB resident, tables {tables / 1e6:.0f} MB: {peak / tables:.2f}")
    check(tables < peak < 1.5 * tables, f"{peak} bytes resident for tables of {tables}")
    place.train("-n", 2, run_dir="two")
    last = place.metrics("two", "window")[-1]
    print(f"two replicas: held {last['held_bytes'] / 1e6:.0f} MB, derived {last['derived_bytes'] / 1e6:.0f} MB")
    check(last["held_bytes"] <= 1.1 * last["derived_bytes"], f"{last}")
    check(last["derived_bytes"] < 4.5 * tables, "w, w as folded, delta and one inbox are four registers")


main()
