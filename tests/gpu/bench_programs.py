"""The steps that are one program each: tests on the real device, and what prints FIGURE lines. Part of run.sh."""
import os
import re

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


def peer_of_words(report):
    report.skipped("words_vs_gpu_peer", "no word2vec for GPUs whose source could be built here is known to the suite")
