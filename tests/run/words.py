"""Word models from text to checkpoint: what is learned, exchanged, resumed, lost and refused."""
import os
import random
import signal
import time

import h5py
from harness import Place, check, contains, finish, replicas_of
from words_common import CONFIG, TOPICS, WORDS, data, newest, place_with_text, purity, vectors


def agree(place, n):
    """The last rest of the run."""
    rests = place.events("rest")[-n:]
    same = len({(r["epoch"], r["round"], r["checksum"]) for r in rests}) == 1
    check(len({r["rank"] for r in rests}) == n and same, f"{n} replicas at rest: {rests}")


def learns():
    for kind, n in (("skipgram", 1), ("skipgram", 2), ("skipgram", 3), ("cbow", 1), ("cbow", 2)):
        place = place_with_text()
        place.train("-n", n, "--set", f"model.type={kind}", "--set", "run.epochs=3")
        share = purity(vectors(place))
        check(share > 0.95, f"{kind}, {n} replicas: only {share:.2f} of the words have a neighbour of their topic")
        agree(place, n)
        summary = place.metrics(kind="summary")[-1]
        check(summary["words"] == 3 * 4000 * 20, f"words: {summary}")
        check(summary["loss"] < summary["loss_all"], f"the loss did not fall: {summary}")
        if n > 1:
            per_row = summary["bytes"] / summary["rows"]
            check(64 <= per_row < 160, f"{per_row:.0f} bytes for each row of 64: {summary}")


def resumes():
    """One replica: bit for bit. As many: what was there. Another number: every sentence once."""
    place = place_with_text()
    place.train("--set", "run.max_records=3200", run_dir="whole")
    place.train("--set", "run.max_records=1280", run_dir="parts")
    half = vectors(place, "parts")
    place.train("--set", "run.max_records=3200", run_dir="parts")
    whole, parts = vectors(place, "whole"), vectors(place, "parts")
    check(all((whole[w] == parts[w]).all() for w in whole), "the resumed run is another one")
    check(any((half[w] != parts[w]).any() for w in half), "the second part has trained nothing")
    place.train("-n", 2, "--set", "run.max_records=2400")
    before = place.events("rest")[-1]["checksum"]
    place.train("-n", 2, "--set", "run.max_records=2400")
    check({r["checksum"] for r in place.events("rest") if r["epoch"] == 2} == {before}, "weights changed over a resume")
    for n, records in ((3, 3200), (1, 3600), (2, 4000)):
        place.train("-n", n, "--set", f"run.max_records={records}")
        check(place.metrics(kind="summary")[-1]["records"] == records, f"{n} replicas: {place.metrics(kind='summary')[-1]}")
        agree(place, n)
    check(purity(vectors(place)) > 0.9, "what was learned is gone")


def stopped():
    place = place_with_text()
    process = place.start("-n", 2, "--set", "run.epochs=-1", "--set", "checkpoint.every_records=20000")
    place.wait_for(lambda: len(place.checkpoints()) > 0, process, what="a checkpoint")
    process.send_signal(signal.SIGTERM)
    finish(process, 75)
    checks = place.events("rest")
    for round_ in {r["round"] for r in checks}:
        sums = {r["checksum"] for r in checks if r["round"] == round_}
        check(len(sums) == 1, f"round {round_}: {sums}")


def killed():
    """A replica is killed: the others agree on what it left, finish and save."""
    place = place_with_text()
    process = place.start("-n", 3, "--set", "run.epochs=-1", "--set", "run.max_seconds=6", "--set", "exchange.dead_after=1")
    place.wait_for(lambda: place.training(3), process, what="training")
    time.sleep(random.uniform(0, 1))
    os.kill(replicas_of(process.pid)[random.randrange(3)], signal.SIGKILL)
    _, err = finish(process, 69)
    contains(err, "1 of 3 replicas did not finish")
    agree(place, 2)
    check(purity(vectors(place)) > 0.9, "survivors have learned nothing")


ONLINE = CONFIG.replace("sample: -1", "sample: -1, vocabulary: 128, admit: 3")


def online():
    """The vocabulary is found while the text arrives; replicas agree on it; a later life knows it."""
    for n in (1, 3):
        place = place_with_text(ONLINE, options=("--online",), lines=8000)
        place.train("-n", n, "--set", "run.epochs=4", "--set", "stream.batch=1")
        found = vectors(place)
        check(len(found) == TOPICS * WORDS, f"{n} replicas: {len(found)} words, not {TOPICS * WORDS}")
        check(purity(found) > 0.9, f"{n} replicas: purity {purity(found):.2f}")
        agree(place, n)
        place.train("-n", n, "--set", "run.epochs=5", "--set", "stream.batch=1")
        again = vectors(place)
        check(set(again) == set(found), "the words of the last life are not those of this one")
        last = [l for l in place.metrics(kind="window") if l["epoch"] == 2]
        check(last and all(l["admitted"] == 0 for l in last), f"words were admitted again: {last[-1:]}")
    place.train("-n", 2, "--set", "run.epochs=6", "--set", "stream.batch=1")  # 3, now 2
    check(set(vectors(place)) == set(found), "dealt anew: another vocabulary")


def pairs():
    rng = random.Random(5)
    lines = []
    for _ in range(20000):
        topic, other = rng.sample(range(TOPICS), 2)
        row = [topic * WORDS + rng.randrange(WORDS), topic * WORDS + rng.randrange(WORDS)]
        row += [other * WORDS + rng.randrange(WORDS) for _ in range(2)]
        lines.append(" ".join(map(str, row + [1, 0, 0])))
    config = CONFIG.replace("window: 3, negative: 4, sample: -1", "vocabulary: 100")
    for n in (1, 2):
        place = Place(config)
        place.write("rows.txt", "\n".join(lines) + "\n")
        data(place, "import", "pairs", "rows.txt", "-o", "text.h5", "--vocabulary", TOPICS * WORDS)
        place.train("-n", n, "--set", "run.epochs=4", "--set", "stream.batch=32")
        agree(place, n)
        with h5py.File(os.path.join(newest(place), "model.h5"), "r") as file:
            table = file["model_weights/in/in/embeddings:0"][()]
        found = {f"t{i // WORDS}w{i % WORDS}": table[i] for i in range(TOPICS * WORDS)}
        check(purity(found) > 0.95, f"pairs, {n} replicas: purity {purity(found):.2f}")


def refused():
    place = place_with_text()
    for settings, parts in (
        (("optimizer.type=adam",), ("sgd",)),
        (("optimizer.clip_norm=1",), ("clip_norm",)),
        (("optimizer.schedule=linear", "run.epochs=-1"), ("linear", "end")),
        (("model.dim=3000000000",), ("model.dim",)),
        (("model.loss=squared_error",), ("loss",)),
        (("device.type=cuda",), ("cuda",)),
    ):
        options = [o for s in settings for o in ("--set", s)]
        _, err = place.train(*options, expect=None)
        check("Traceback" not in err and all(p in err for p in parts), f"{settings}: {err}")
        check(not place.checkpoints() if os.path.isdir(place.at("run")) else True, f"{settings} has trained")
    layers = CONFIG.split("model:")[0] + "model: {loss: cross_entropy, layers: [{type: dense, units: 2}]}\n"
    place.write("layers.yaml", layers)
    _, err = place.train(config="layers.yaml", expect=2)
    contains(err, "skipgram")
    sea = CONFIG.replace("file: text.h5", "generator: sea, records: 100")
    place.write("sea.yaml", sea)
    _, err = place.train(config="sea.yaml", expect=2)
    contains(err, "data import text")
    place.train("--set", "run.max_records=800")
    other = place_with_text(topics=range(TOPICS - 1))
    _, err = other.train("--resume", newest(place), expect=2)
    contains(err, "vocabulary")


if __name__ == "__main__":
    learns()
    resumes()
    stopped()
    killed()
    online()
    pairs()
    refused()
