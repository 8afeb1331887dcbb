"""All checks and measurements of a GPU, one after the other: see run.sh, which starts this."""
import argparse
import os
import sys

import bench_place
import bench_programs
import bench_races
import bench_replicas
from bench_report import Report

HERE = os.path.dirname(os.path.abspath(__file__))


def starts(place, report):
    """Whether the programs start here at all (another libc): the first thing to know of what was packed."""
    if place.tensair is None:
        report.failed("program_starts", "there is no program 'tensair' in " + place.programs)
        return False
    code, out, err = place.run(place.tensair, "version", seconds=20)
    if code != 0:
        report.failed("program_starts", f"exit status {code}: {bench_programs.said(out, err)}")
        return False
    report.passed("program_starts", out.split("\n")[0][:80])
    report.about["program"] = out.split("\n")[:20]
    return True


def plugin_loads(place, report):
    """tensair-cuda.so finds cuDNN and cuBLASLt here, without a device too."""
    if place.make_believe or not os.path.exists(os.path.join(place.plugins, "tensair-cuda.so")):
        report.skipped("plugin_loads", "make-believe" if place.make_believe else "tensair-cuda.so was not built")
        return
    code, out, err = place.run(place.python, "-c", "import ctypes, sys, os; ctypes.CDLL(sys.argv[1], os.RTLD_LAZY)",
                               os.path.join(place.plugins, "tensair-cuda.so"), seconds=40)
    if code == 0:
        report.passed("plugin_loads", " ".join(place.vendor))
    else:
        report.failed("plugin_loads", bench_programs.said(out, err))


def measure(place, report, peer):
    """Step by step; one that fails, in whatever way, does not keep the others from being done."""
    figures, words = bench_programs.figures, {}
    steps = [
        ("tests on the device", 75, lambda: bench_programs.real_tests(place, report)),
        ("copies", 25, lambda: figures(place, report, "gpu_bench_copy", seconds=25)),
        ("apply", 30, lambda: figures(place, report, "gpu_bench_apply", seconds=30)),
        ("put", 40, lambda: figures(place, report, "gpu_bench_put", seconds=40)),
        ("words", 45, lambda: words.update(figures(place, report, "gpu_bench_words", seconds=45))),
        ("peer of words", 60, lambda: bench_programs.peer_of_words(place, report, words)),
        ("faults", 40, lambda: figures(place, report, "gpu_bench_faults", "lost", seconds=40)),
        ("networks", 230, lambda: bench_races.races(place, report, peer)),
        ("replicas", 150, lambda: bench_replicas.all_runs(place, report)),
    ]
    for name, seconds, step in steps:
        if place.make_believe and name in ("tests on the device", "faults"):
            report.skipped(name, "for real devices alone")
            continue
        report.begin(seconds)
        try:
            step()
        except Exception as why:  # whatever it is
            report.failed(name, f"{type(why).__name__}: {why}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--programs", required=True)
    options.add_argument("--libraries", default="")
    options.add_argument("--out", required=True)
    options.add_argument("--plugins", help="folder of the plugin (default: where the programs are)")
    options.add_argument("--make-believe", action="store_true")
    options.add_argument("--seconds", type=float, default=450)
    options.add_argument("--commit", default="")
    options = options.parse_args()
    report = Report(options.out, options.seconds, options.make_believe)
    programs, libraries, plugins = (os.path.abspath(p) if p else "" for p in
                                    (options.programs, options.libraries, options.plugins or options.programs))
    place = bench_place.Place(programs, libraries, plugins, options.make_believe)
    device = bench_place.Device()
    report.about.update(commit=options.commit, device=device.about, machine=bench_place.machine(),
                        versions=bench_place.versions(place.python, place.vendor), vendor_folders=place.vendor)
    print("device   " + ", ".join(f"{k} {v}" for k, v in {**device.about, **report.about["versions"]}.items() if v),
          flush=True)
    if starts(place, report):
        plugin_loads(place, report)
    if device.why and not options.make_believe:
        for step in ("tests on the device", "copies", "apply", "put", "words", "faults", "replicas", "networks"):
            report.skipped(step, device.why)
        code = report.finish()
        return code if code == 1 else 77
    try:
        measure(place, report, os.path.join(HERE, "peer_pytorch.py"))
    except KeyboardInterrupt:
        report.failed("run", "interrupted")
    return report.finish()


sys.exit(main())
