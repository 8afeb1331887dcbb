"""Medians of FIGURE lines, with the machine they were measured on: collect.py LINES OUT.json."""
import collections
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HOLDS = {">=": lambda v, b: v >= b, "<=": lambda v, b: v <= b, ">": lambda v, b: v > b, "<": lambda v, b: v < b}


def cpu_model():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(lines, out):
    values, asked = collections.defaultdict(list), {}
    for line in open(lines, encoding="utf-8"):
        word = line.split()
        if len(word) != 7 or word[4] != "asked" or word[5] not in HOLDS:
            sys.exit(f"figures: not a figure: {line.strip()}")
        values[word[1]].append(float(word[2]))
        asked[word[1]] = (word[3], word[5], float(word[6]))
    if not values:
        sys.exit("figures: none was printed")
    figures, missed = [], 0
    for name, seen in values.items():
        unit, op, bound = asked[name]
        median = statistics.median(seen)
        holds = HOLDS[op](median, bound)
        missed += not holds
        figures.append({"name": name, "median": median, "unit": unit, "asked": f"{op} {bound:g}", "holds": holds,
                        "values": seen})
        print(f"{'ok    ' if holds else 'MISSED'} {name:36} {median:10.4g} {unit:8} asked {op} {bound:g}   {seen}")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    record = {"schema": 1, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit.stdout.strip(),
              "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()}, "figures": figures}
    with open(out, "w", encoding="utf-8") as f:
        json.dump(record, f, indent=1)
        f.write("\n")
    print(f"figures: {out}")
    sys.exit(1 if missed else 0)


main(*sys.argv[1:])
