#!/usr/bin/python3
"""Generators against the published definitions, written down here a second time: exact where the definition is exact,
within six standard deviations where it is a distribution."""
import numpy as np
import h5py

from stream_tool import check, finish, info, run, work

N = 20000


def make(generator, drift=None, seed=3, records=N):
    path = work("g.h5")
    arguments = ["make", generator, "--records", records, "--seed", seed, "-o", path, "--force"]
    run(*arguments, *(["--drift", drift] if drift else []))
    with h5py.File(path) as f:
        check(f.attrs["records"] == records, f"{generator}: records")
        for name in ("x", "y"):
            check(f[name].attrs["description"] and f[name].attrs["units"], f"{generator}: /{name} is not described")
        return f["x"][:], f["y"][:]


def close(share, expected, count, what):
    """A share of `count` independent records."""
    error = 6 * np.sqrt(max(expected * (1 - expected), 1e-9) / count)
    check(abs(share - expected) <= error, f"{what}: {share:.4f}, expected {expected:.4f} +- {error:.4f}")


def sea():
    drift = "abrupt@5000:2,abrupt@10000:3,abrupt@15000:4"
    x, y = make("sea:noise=0", drift)
    theta = np.repeat([8, 9, 7, 9.5], 5000)
    check(((x[:, 0].astype(float) + x[:, 1] <= theta) == y).all(), "sea: a label differs from x0 + x1 <= theta")
    check(x.min() >= 0 and x.max() < 10, "sea: range")
    for i in range(3):
        close((x[:, i] < 2.5).mean(), 0.25, N, f"sea: attribute {i}")
    noisy_x, noisy_y = make("sea", drift)
    check((noisy_x == x).all(), "sea: noise changed the features")
    close((noisy_y != y).mean(), 0.1, N, "sea: label noise")


def stagger():
    x, y = make("stagger", "abrupt@5000:2,abrupt@10000:3")
    groups = x.reshape(N, 3, 3)
    check((groups.sum(axis=2) == 1).all() and set(np.unique(x)) == {0, 1}, "stagger: not one-hot")
    size, colour, shape = groups.argmax(axis=2).T
    concept = np.repeat([1, 2, 3, 3], 5000)
    rules = [None, (size == 0) & (colour == 0), (colour == 1) | (shape == 1), (size == 1) | (size == 2)]
    for c in (1, 2, 3):
        check((rules[c] == y)[concept == c].all(), f"stagger: concept {c}")
    for i in range(9):
        close(x[:, i].mean(), 1 / 3, N, f"stagger: value {i}")


def agrawal_is_group_a(x, function):
    """Agrawal, Imielinski, Swami 1993, the appendix: written from the paper, not from the C code."""
    salary, commission, age, level, _, _, house, years, loan = x.astype(float).T
    young, old = age < 40, age >= 60
    middle = ~young & ~old

    def by_age(a, b, c):
        return (young & a) | (middle & b) | (old & c)

    def pay(low, high):
        return (low <= salary) & (salary <= high)

    def owes(low, high):
        return (low <= loan) & (loan <= high)

    total = salary + commission
    if function == 1:
        return young | old
    if function == 2:
        return by_age(pay(5e4, 1e5), pay(75e3, 125e3), pay(25e3, 75e3))
    if function == 3:
        return by_age(level <= 1, (1 <= level) & (level <= 3), (2 <= level) & (level <= 4))
    if function == 4:
        return by_age(np.where(level <= 1, pay(25e3, 75e3), pay(5e4, 1e5)),
                      np.where((1 <= level) & (level <= 3), pay(5e4, 1e5), pay(75e3, 125e3)),
                      np.where((2 <= level) & (level <= 4), pay(5e4, 1e5), pay(25e3, 75e3)))
    if function == 5:
        return by_age(np.where(pay(5e4, 1e5), owes(1e5, 3e5), owes(2e5, 4e5)),
                      np.where(pay(75e3, 125e3), owes(2e5, 4e5), owes(3e5, 5e5)),
                      np.where(pay(25e3, 75e3), owes(3e5, 5e5), owes(1e5, 3e5)))
    if function == 6:
        return by_age((5e4 <= total) & (total <= 1e5), (75e3 <= total) & (total <= 125e3),
                      (25e3 <= total) & (total <= 75e3))
    if function == 7:
        return 2 * total / 3 - loan / 5 - 20000 > 0
    if function == 8:
        return 2 * total / 3 - 5000 * level - 20000 > 0
    if function == 9:
        return 2 * total / 3 - 5000 * level - loan / 5 - 10000 > 0
    equity = np.where(years < 20, 0, house * (years - 20) / 10)
    return 2 * total / 3 - 5000 * level + equity / 5 - 10000 > 0


def agrawal():
    lows = np.array([20e3, 0, 20, 0, 1, 0, 5e4, 1, 0])
    highs = np.array([150e3, 75e3, 80, 4, 20, 8, 1350e3, 30, 500e3])
    for function in range(1, 11):
        x, y = make("agrawal:raw=1", f"abrupt@0:{function}")
        check((agrawal_is_group_a(x, function) == (y == 0)).all(), f"agrawal: function {function}")
        check((x >= lows).all() and (x <= highs).all(), "agrawal: range")
    check(((x[:, 0] >= 75e3) == (x[:, 1] == 0)).all(), "agrawal: commission")
    houses = x[:, 6] / (100e3 * (9 - x[:, 5]))
    check(houses.min() >= 0.4999 and houses.max() <= 1.5001, "agrawal: value of the house")
    for i, values in ((2, 61), (3, 5), (4, 20), (5, 9), (7, 30)):
        for value in np.unique(x[:, i]):
            close((x[:, i] == value).mean(), 1 / values, N, f"agrawal: attribute {i} = {value}")
    unit, same = make("agrawal", "abrupt@0:10")
    check((same == y).all(), "agrawal: scaling changed a label")
    check(np.abs(unit - (x - lows) / (highs - lows)).max() < 1e-6, "agrawal: scaling")
    moved, same = make("agrawal:raw=1,perturbation=0.05", "abrupt@0:10")
    shift = np.abs(moved - x) / (highs - lows)
    check((same == y).all(), "agrawal: perturbation changed a label")
    check(shift.max() <= 0.0251 and shift[:, 0].max() > 0.0245, "agrawal: perturbation is not half of 5 % of the range")
    check((moved[:, (3, 4, 5)] == x[:, (3, 4, 5)]).all(), "agrawal: perturbation moved a category")
    check((moved >= lows).all() and (moved <= highs).all(), "agrawal: perturbation left the range")


def hyperplane():
    x, y = make("hyperplane:noise=0,speed=0")
    check(x.min() >= 0 and x.max() < 1, "hyperplane: range")
    # A plane through the middle of the cube: mirrored points lie on the other side.
    w = np.linalg.lstsq(x - 0.5, 2.0 * y - 1, rcond=None)[0]
    check((((x - 0.5) @ w >= 0) == y).mean() > 0.97, "hyperplane: not separated by a plane through the middle")
    close(y.mean(), 0.5, N, "hyperplane: balance")
    x, y = make("hyperplane:noise=0,attributes=4,drifting=4,speed=0.001", records=60000)
    parts = [np.linalg.lstsq(x[i:i + 300] - 0.5, 2.0 * y[i:i + 300] - 1, rcond=None)[0] for i in (0, 1000, 30000)]
    turn = [np.dot(parts[0], p) / np.linalg.norm(parts[0]) / np.linalg.norm(p) for p in parts]
    check(turn[1] < 0.98, f"hyperplane: did not turn in 1000 records ({turn})")


def rbf():
    x, y = make("rbf:classes=5,speed=0,attributes=2,centroids=5")
    counts = np.bincount(y, minlength=5)
    check((counts > 0).all(), "rbf: a class is missing")
    means = np.array([x[y == c].mean(axis=0) for c in range(5)])
    check(means.min() > -0.05 and means.max() < 1.05, "rbf: the centres do not lie in the unit cube")
    later, label = make("rbf:classes=5,speed=0.0005,attributes=2,centroids=5", records=2 * N)
    half = [np.array([part[lab == c].mean(axis=0) for c in range(5)])
            for part, lab in ((later[:500], label[:500]), (later[-500:], label[-500:]))]
    check(np.abs(half[0] - half[1]).max() > 0.05, "rbf: the centres did not move")
    check(half[1].min() > -0.3 and half[1].max() < 1.3, "rbf: the centres left the unit cube")


def glyphs():
    x, y = make("glyphs", "abrupt@2000:2", records=4000)
    check(x.shape == (4000, 28, 28, 1) and x.dtype == np.uint8, "glyphs: shape")
    for c in range(10):
        close((y == c).mean(), 0.1, 4000, f"glyphs: class {c}")
    first, second = ([x[a:b][y[a:b] == c].mean(axis=0) for c in range(10)] for a, b in ((0, 2000), (2000, 4000)))
    for c in range(10):
        nearest = int(np.argmin([np.square(second[c] - f).mean() for f in first]))
        check(nearest == (c + 3) % 10, f"glyphs: class {c} of concept 2 looks like {nearest}, not {(c + 3) % 10}")


def same_seed_same_bytes():
    for name in ("a.h5", "b.h5"):
        run("make", "rbf", "--records", 1000, "--seed", 7, "-o", work(name))
    check(open(work("a.h5"), "rb").read() == open(work("b.h5"), "rb").read(), "the same seed gave another file")
    run("make", "rbf", "--records", 1000, "--seed", 8, "-o", work("c.h5"))
    check(info(work("a.h5"))["checksum"] != info(work("c.h5"))["checksum"], "another seed gave the same checksum")


for test in (sea, stagger, agrawal, hyperplane, rbf, glyphs, same_seed_same_bytes):
    test()
finish(0, "generators agree with their definitions")
