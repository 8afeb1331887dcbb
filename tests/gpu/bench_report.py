"""A line a check, as it is known, and all of it as JSON in the end. Part of run.sh."""
import json
import os
import time

HOLDS = {">=": lambda v, b: v >= b, "<=": lambda v, b: v <= b, "==": lambda v, b: v == b}
PASS, FAIL, SKIPPED, FIGURE = "PASS", "FAIL", "SKIPPED", "-"


class Report:
    def __init__(self, out, seconds, make_believe):
        self.out, self.make_believe = out, make_believe
        self.start, self.end = time.monotonic(), time.monotonic() + seconds
        self.step_end = self.end
        self.checks, self.about = [], {}
        if make_believe:
            print("These are the motions alone, on a make-believe device: no figure below means anything.", flush=True)

    def begin(self, most):
        """A step begins, which may take so many seconds: what it does not come to must not cost the steps behind it."""
        self.step_end = min(self.end, time.monotonic() + most)

    def left(self, most):
        """Seconds for something that wants `most`; 0: the time of the step, or of all, is up."""
        return max(0.0, min(most, self.step_end - time.monotonic()))

    def add(self, name, verdict, value=None, unit="", asked="", note=""):
        check = {"name": name, "verdict": verdict, "value": value, "unit": unit, "asked": asked, "note": note,
                 "at_s": round(time.monotonic() - self.start, 1)}
        self.checks.append(check)
        shown = "" if value is None else f"{value:.4g} {unit}"
        print(f"{verdict:8}{name:46}{shown:>22}  {'asked ' + asked if asked else '':16}{note}".rstrip(), flush=True)

    def passed(self, name, note=""):
        self.add(name, PASS, note=note)

    def failed(self, name, note):
        self.add(name, FAIL, note=" ".join(str(note).split())[-600:])

    def skipped(self, name, why):
        self.add(name, SKIPPED, note=" ".join(str(why).split())[:300])

    def verdict(self, good, name, note=""):
        (self.passed if good else self.failed)(name, note)

    def figure(self, name, value, unit, asked="", note=""):
        """A number; with `asked` (">= 0.8") a check; a ratio on a make-believe device is never held to that."""
        verdict = FIGURE
        if asked and not (self.make_believe and unit == "ratio"):
            op, bound = asked.split()
            verdict = PASS if HOLDS[op](value, float(bound)) else FAIL
        self.add(name, verdict, value, unit, asked, note)

    def count(self, verdict):
        return sum(c["verdict"] == verdict for c in self.checks)

    def finish(self):
        """Writes results.json, sums up; the exit status."""
        passed, failed, skipped = (self.count(v) for v in (PASS, FAIL, SKIPPED))
        os.makedirs(self.out, exist_ok=True)
        path = os.path.join(self.out, "results.json")
        record = {"schema": 1, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                  "make_believe": self.make_believe, "seconds": round(time.monotonic() - self.start, 1), **self.about,
                  "summary": {"passed": passed, "failed": failed, "skipped": skipped}, "checks": self.checks}
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
        os.replace(path + ".new", path)
        names = ", ".join(c["name"] for c in self.checks if c["verdict"] == FAIL)
        print(f"{passed} passed, {failed} failed{' (' + names + ')' if names else ''}, {skipped} skipped, "
              f"{self.count(FIGURE)} figures, {record['seconds']:.0f} s: {path}", flush=True)
        return 1 if failed else 0 if passed else 77
