#!/usr/bin/python3
"""Alarms of the reference implementations, for test_goldens.c: goldens.txt, a line per stream and detector.

    python3 -m venv VENV && VENV/bin/pip install river==0.26.1 capymoa==0.15.1       (wants Java, and Python >= 3.11)
    VENV/bin/python make_goldens.py > goldens.txt

A line: stream, detector, number of drifts, their positions (from 0), "w", number of warnings, sum of their positions.
Made with river 0.26.1, capymoa 0.15.1 (which carries MOA), numpy 2.4.6, scipy 1.17.1, OpenJDK 17, Python 3.11. Streams
are made from java.util.Random, a 48-bit congruential generator, so that C repeats them bit for bit; `losses.txt` is
read.
"""
import copy
import os
import sys

from capymoa.drift.detectors import ADWIN as MoaAdwin
from capymoa.drift.detectors import DDM as MoaDdm
from capymoa.drift.detectors import OPTWIN, STEPD, EWMAChart
from capymoa.drift.base_detector import MOADriftDetector
from moa.classifiers.core.driftdetection import EDDM as _EDDM
from river import drift

HERE = os.path.dirname(os.path.abspath(__file__))


class Random:
    """java.util.Random.nextDouble."""

    def __init__(self, seed):
        self.state = (seed ^ 0x5DEECE66D) & (1 << 48) - 1

    def bits(self, n):
        self.state = (self.state * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        return self.state >> 48 - n

    def uniform(self):
        return ((self.bits(26) << 27) + self.bits(27)) * 2.0 ** -53

    def normal(self):
        """Sum of 12 uniforms: no libm, so the same everywhere."""
        total = 0.0
        for _ in range(12):
            total += self.uniform()
        return total - 6


def pieces(seed, parts):
    r = Random(seed)
    return [1.0 if r.uniform() <= p else 0.0 for n, p in parts for _ in range(n)]


def gradual(seed):
    r = Random(seed)
    rates = [.1 + .5 * min(1, max(0, (i - 1500) / 1500)) for i in range(4000)]
    return [1.0 if r.uniform() <= p else 0.0 for p in rates]


def gauss(seed):
    r = Random(seed)
    return [m + s * r.normal() for n, m, s in [(1500, 2, 1), (1500, 3, 1), (1500, 3, 2), (500, 1, 1)] for _ in range(n)]


def losses(which):
    with open(os.path.join(HERE, "losses.txt")) as lines:
        return [float(value) for name, value in map(str.split, lines) if name == which]


ERRORS = {
    "abrupt": pieces(7, [(2000, .1), (1000, .3), (1500, .05), (1000, .5)]),
    "gradual": gradual(11),
    "rare": pieces(13, [(3000, .01), (2000, .05), (1000, .002)]),
    "flat": pieces(17, [(6000, .35)]),
    "zeros": [0.0] * 500,
    "ones": [1.0] * 500,
    "step": [0.0] * 300 + [1.0] * 300 + [0.0] * 300,
}
NUMBERS = {"gauss": gauss(19), "elec": losses("elec"), "mnist": losses("mnist")}


class MoaEddm(MOADriftDetector):
    _moa_detector_type = _EDDM


class SlidingOptwin(OPTWIN):
    """With the right numbers moved when the full window slides; a slot more, so that the oldest is not overwritten."""

    def _empty_window(self):
        super()._empty_window()
        self.W = self._Circular_list(self.w_length_max + 1)

    def _insert_to_W(self, element):
        self.W.add(element)
        self._add_running_stdev("new", [element])
        if self.W.length > self.w_length_max:
            self._pop_from_running_stdev("h", [self.W.pop_first()])
            turning = self.W.get(self.last_opt_cut - 1)
            self._pop_from_running_stdev("new", [turning])
            self._add_running_stdev("h", [turning])


class AuthorsOptwin(SlidingOptwin):
    """The bookkeeping of OPTWIN.java (maurodlt/OptWin): a window that alarmed keeps its last number, and one whose
    spread grew while the mean fell is kept."""

    reacting = False

    def _empty_window(self):
        if self.reacting:
            super()._empty_window()

    def _drift_reaction(self, drift_type):
        self.reacting = True
        super()._drift_reaction(drift_type)
        self.reacting = False
        self._insert_to_W(self.data[-1])


fresh = {}


def optwin(kind, **options):
    """Tables take CapyMOA minutes: one for all streams."""
    key = kind, *sorted(options.items())
    if key not in fresh:
        fresh[key] = kind(**{"drift_confidence": .99, "warning_confidence": .98, "w_length_max": 1500, **options})
        if kind is not OPTWIN:
            SlidingOptwin._empty_window(fresh[key])
    return copy.deepcopy(fresh[key])


DETECTORS = {
    # name: (make, takes errors only)
    "adwin": (lambda: drift.ADWIN(), False),
    "adwin.eager": (lambda: drift.ADWIN(delta=.05, clock=1, max_buckets=3, min_window_length=2, grace_period=20),
                    False),
    "adwin.moa": (lambda: MoaAdwin(), False),
    "ddm": (lambda: drift.binary.DDM(), True),
    "ddm.eager": (lambda: drift.binary.DDM(warm_start=10, warning_threshold=1, drift_threshold=2), True),
    "ddm.moa": (lambda: MoaDdm(), True),
    "eddm": (lambda: drift.binary.EDDM(), True),
    "eddm.lazy": (lambda: drift.binary.EDDM(warm_start=50, alpha=.9, beta=.8), True),
    "eddm.moa": (lambda: MoaEddm(), True),
    "pagehinkley": (lambda: drift.PageHinkley(), False),
    "pagehinkley.up": (lambda: drift.PageHinkley(threshold=8, delta=.02, alpha=.999, min_instances=50, mode="up"),
                       False),
    "pagehinkley.down": (lambda: drift.PageHinkley(threshold=8, mode="down"), False),
    "kswin": (lambda: drift.KSWIN(seed=1), False),
    "kswin.large": (lambda: drift.KSWIN(seed=0x123456789, window_size=600, stat_size=40, alpha=.001), False),
    "stepd": (lambda: STEPD(), True),
    "stepd.wide": (lambda: STEPD(window_size=60, alpha_drift=.001, alpha_warning=.01), True),
    "ecdd": (lambda: EWMAChart(), True),
    "ecdd.slow": (lambda: EWMAChart(min_n_instances=60, lambda_=.1), True),
    "hddm_a": (lambda: drift.binary.HDDMA(), True),
    "hddm_a.both": (lambda: drift.binary.HDDMA(drift_confidence=.01, warning_confidence=.05, two_sided_test=True),
                    True),
    "optwin": (lambda: optwin(OPTWIN), False),
    "optwin.weak": (lambda: optwin(SlidingOptwin, rigor=.1, drift_confidence=.999), False),
    "optwin.authors": (lambda: optwin(AuthorsOptwin, rigor=1.0), False),
    "optwin.slide": (lambda: optwin(SlidingOptwin, w_length_max=200), False),
}


def run(detector, stream):
    drifts, warnings = [], []
    for i, x in enumerate(stream):
        if hasattr(detector, "update"):
            detector.update(x)
            drifted, warned = detector.drift_detected, getattr(detector, "warning_detected", False)
        else:
            detector.add_element(x)
            if type(detector) is OPTWIN and detector.W.length == detector.w_length_max:
                return None  # from here on it is wrong: see SlidingOptwin
            drifted, warned = detector.detected_change(), detector.detected_warning()
        if drifted:
            drifts.append(i)
        elif warned:
            warnings.append(i)
    return drifts, warnings


def main():
    only = sys.argv[1:]
    for name, (make, errors_only) in DETECTORS.items():
        if only and name not in only:
            continue
        for stream, values in {**ERRORS, **({} if errors_only else NUMBERS)}.items():
            answer = run(make(), values)
            if answer is not None:
                drifts, warnings = answer
                print(stream, name, len(drifts), *drifts, "w", len(warnings), sum(warnings), flush=True)


main()
