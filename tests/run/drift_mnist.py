"""experiments/drift-mnist, two seeds of ten: four replicas, OPTWIN, five label swaps. All are found, one false alarm at most."""
import os
import subprocess
import sys

from harness import TENSAIR, Place, check, contains

images = os.path.join(os.environ.get("TENSAIR_DATA", ""), "mnist", "train-images-idx3-ubyte.gz")
if not os.path.exists(images):
    print("SKIPPED: no mnist/train-images-idx3-ubyte.gz in $TENSAIR_DATA")
    sys.exit(77)

with open(os.path.join(os.environ["SOURCE_DIR"], "experiments", "drift-mnist", "drift-mnist.yaml")) as file:
    place = Place(file.read())
stream = place.at("mnist.h5")
subprocess.run([TENSAIR, "data", "import", "idx", images, images.replace("images-idx3", "labels-idx1"), "-o", stream],
               check=True, stdout=subprocess.PIPE)
for seed in (1, 2):
    run = f"run{seed}"
    out, _ = place.train("-n", 4, "--set", f"run.seed={seed}", "--set", f"stream.file={stream}", run_dir=run)
    contains(out, "drift        5 made")
    summary = place.metrics(run, "summary")[0]
    drift = summary["drift"]
    print(f"seed {seed}: {drift['found']} of 5, {drift['false_alarms']} false, after {drift['delay']} records, "
          f"recovered from {drift['recovered']}, trained on {summary['trained']}")
    check(drift["found"] == 5 and drift["false_alarms"] <= 1, f"seed {seed}: {drift}")
    check(summary["trained"] < 0.7 * summary["records"], "nothing was saved against training all the time")
