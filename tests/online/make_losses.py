#!/usr/bin/python3
"""Two real loss curves for make_goldens.py: losses.txt, a line per mini-batch of 32, of softmax regression that tests,
then trains.

    make_losses.py DATA > losses.txt      DATA holds mnist/ and elec2/

elec: Electricity in its order, 1,416 batches, drift wherever New South Wales had some. mnist: 1,200 batches, digits
(3,7) and (2,8) swapped from batch 600 on, (5,1) and (0,9) too from batch 900 on.
"""
import gzip
import sys

import numpy as np

DATA = sys.argv[1]


def idx(name):
    raw = gzip.open(f"{DATA}/mnist/{name}.gz").read()
    shape = [int.from_bytes(raw[4 + 4 * i:8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def curve(x, y, classes, rate):
    w, out = np.zeros((x.shape[1] + 1, classes)), []
    x = np.hstack([x, np.ones((len(x), 1))])
    for at in range(0, len(x) - 31, 32):
        a, b = x[at:at + 32], y[at:at + 32]
        z = a @ w
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        out.append(-np.log(p[np.arange(32), b] + 1e-12).mean())
        p[np.arange(32), b] -= 1
        w -= rate * a.T @ p / 32
    return out


x = np.array([line.split() for line in gzip.open(f"{DATA}/elec2/elec2_data.dat.gz", "rt")], float)
y = np.array([line.split()[0] for line in gzip.open(f"{DATA}/elec2/elec2_label.dat.gz", "rt")], int)
elec = curve(x / np.maximum(np.abs(x).max(0), 1e-9), y, y.max() + 1, .5)
x = idx("train-images-idx3-ubyte").reshape(-1, 784)[:38400] / 255
y = idx("train-labels-idx1-ubyte")[:38400].astype(int)
for start, pairs in (19200, [(3, 7), (2, 8)]), (28800, [(5, 1), (0, 9)]):
    for a, b in pairs:
        part = y[start:]
        is_a, is_b = part == a, part == b
        part[is_a], part[is_b] = b, a
mnist = curve(x, y, 10, .3)
for name, values in ("elec", elec), ("mnist", mnist):
    for value in values:
        print(name, f"{value:.5f}")
