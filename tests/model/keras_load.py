#!/usr/bin/env python3
"""Keras itself loads model.h5 and predicts what our net predicts. Any Python that has Keras will do: the one named by
TENSAIR_KERAS_PYTHON, or this one."""
import os
import sys
import tempfile

python = os.environ.get("TENSAIR_KERAS_PYTHON")
if python and os.path.realpath(sys.executable) != os.path.realpath(python) and "TENSAIR_KERAS_AGAIN" not in os.environ:
    os.environ["TENSAIR_KERAS_AGAIN"] = "1"
    os.execv(python, [python, *sys.argv])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import h5py
    import keras
    import numpy as np
except Exception as missing:  # a backend that is missing raises whatever it likes
    print("SKIPPED: this Python has no Keras (pip install keras and a backend):", missing)
    sys.exit(77)

from keras_models import MODELS, Driver, records


def main():
    print("Keras", keras.__version__)
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(sys.argv[1], folder)
        for name in MODELS:
            path, x = driver.write(name), records(name)
            model = keras.models.load_model(path, compile=False)
            theirs = np.asarray(model(x)).reshape(len(x), -1)
            error = np.abs(theirs - driver.predict(name, path, x)).max()
            print("%-10s %-12s differs by %.2e" % (name, type(model).__name__, error))
            assert error < 1e-5
            for form, save in (("save", model.save), ("save_weights", model.save_weights)):
                back = driver.path("back.weights.h5" if keras.__version__.startswith("3") else "back.h5")
                if form == "save":
                    back = driver.path("back.h5")
                elif keras.__version__.startswith("3"):
                    continue  # another layout, refused by name: see keras_numpy.py
                save(back)
                error = np.abs(theirs - driver.predict(name, back, x)).max()
                print("%-10s after %-12s differs by %.2e" % (name, form, error))
                assert error < 1e-5


main()
