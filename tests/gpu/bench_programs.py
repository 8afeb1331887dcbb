"""The steps that are one program each: tests on the real device, and what prints FIGURE lines. Part of run.sh."""
import os
import random
import re
import tempfile
import time

ASKED = {  # what is asked of a figure
    "apply_wrong_elements": "== 0", "apply_8_inboxes_vs_copy": ">= 0.8",
    "put_wrong_words": "== 0", "put_64MiB_vs_copy": ">= 0.8",
    "lost_survivor_steps": ">= 1", "lost_said_so": "== 1",
}


def said(out, err):
    """The last thing that a program said, for the line of its check."""
    lines = [line for line in (err + "\n" + out).strip().split("\n") if line.strip()]
    return lines[-1] if lines else "said nothing"


def real_tests(place, report):
    """Programs of the suite, built for the device."""
    tests = place.real_tests()
    if not tests:
        report.skipped("tests on the device", "none was built for one (CMake found no nvcc, cuDNN or cuBLASLt)")
    for path in tests:
        name = os.path.basename(path)
        seconds = report.left(60)
        if seconds < 1:
            report.skipped(name, "no time left")
            continue
        code, out, err = place.run(path, seconds=seconds, cwd=os.path.dirname(path))
        text = out + err
        if code == 77:
            report.skipped(name, said(out, err))
        elif code == 0:
            report.passed(name, f"{len(re.findall(r'       OK ', text))} tests")
        else:
            failed = re.findall(r"\[  FAILED  \] (\w+)", text)
            wrong = [line for line in text.split("\n") if "gave " in line or " != " in line or "ERROR" in line][:2]
            failed = " ".join(dict.fromkeys(failed))
            report.failed(name, f"exit status {code}; {failed} {' '.join(wrong) or said(out, err)}")


def figures(place, report, program, *arguments, seconds=40):
    """Runs one that prints FIGURE lines, and reports each. Returns them."""
    path = place.program(program)
    left = report.left(seconds)
    if path is None or left < 1:
        report.skipped(program, "not built" if path is None else "no time left")
        return {}
    quick = ["--quick"] if place.make_believe else []
    code, out, err = place.run(path, *arguments, *quick, seconds=left)
    found = {}
    for name, value, unit in re.findall(r"^FIGURE (\S+) (\S+) (\S+)$", out, re.M):
        found[name] = float(value)
        report.figure(name, found[name], unit, ASKED.get(name, ""))
    if code == 77:
        report.skipped(program, said("", err))
    elif code != 0:
        report.failed(program, f"exit status {code}: {said('', err)}")
    elif not found:
        report.failed(program, "printed no figure")
    return found


def zipf_text(path, words, rows=200_000):
    """Words drawn as bench_words draws them, 50 a line."""
    total, upto = 0.0, []
    for r in range(rows):
        total += 1 / (r + 2.7)
        upto.append(total)
    draw = random.Random(3)
    with open(path, "w", encoding="ascii") as file:
        for _ in range(words // 50):
            file.write(" ".join(f"w{r}" for r in draw.choices(range(rows), cum_weights=upto, k=50)) + "\n")


def peer_of_words(place, report, ours):
    """word2vec on a GPU, where TENSAIR_WORD2VEC_CUDA names one that takes word2vec.c's options and was built here: two
    texts of which the longer one takes so much longer, so that what it does at its start does not count."""
    peer = os.environ.get("TENSAIR_WORD2VEC_CUDA")
    if not peer or not os.access(peer, os.X_OK):
        report.skipped("words_vs_gpu_peer", "none is here: TENSAIR_WORD2VEC_CUDA names the program of one "
                       "(word2vec-acc-cuda by kinchi22; FULL-W2V by tlranda), built from its source")
        return
    took, counts = [], [20_000, 120_000] if place.make_believe else [500_000, 3_000_000]
    with tempfile.TemporaryDirectory() as folder:
        for words in counts:
            text = os.path.join(folder, "text")
            zipf_text(text, words)
            start = time.monotonic()
            code, out, err = place.run(peer, "-train", text, "-output", os.path.join(folder, "vectors"), "-size", 128,
                                       "-window", 5, "-negative", 5, "-hs", 0, "-sample", "1e-4", "-cbow", 0,
                                       "-iter", 1, "-min-count", 1, "-binary", 1, seconds=report.left(60))
            took.append(time.monotonic() - start)
            if code != 0:
                report.skipped("words_vs_gpu_peer", f"it ended with {code}: {said(out, err)}")
                return
    if took[1] <= took[0]:
        report.skipped("words_vs_gpu_peer", f"{counts} words took it {took[0]:.2f} and {took[1]:.2f} s: no rate")
        return
    rate = (counts[1] - counts[0]) / (took[1] - took[0])
    report.figure("words_gpu_peer_per_s", rate, "words/s", note=os.path.basename(peer))
    if "words_per_s" in ours:
        report.figure("words_vs_gpu_peer", ours["words_per_s"] / rate, "ratio")
