#!/usr/bin/python3
"""Quantiles of Student's t and Fisher's F by SciPy, for test_quantiles.c: quantiles.txt (made with scipy 1.17.1).

    make_quantiles.py > quantiles.txt      a line: t TAIL DF 0 VALUE, or f TAIL DF1 DF2 VALUE
"""
from scipy import stats

T = [.7, 1, 2.5, 7, 30, 61.3, 400, 24999.5]
F = [(1, 1), (1, 7), (7, 1), (2.5, 3.5), (15, 13), (119, 79), (230, 67), (24938, 60), (60, 24938), (1e5, 3), (.8, 40),
     (4000, 4000), (3, 50000)]
for tail in (.97, .6, .4, .1, .02, 2.5094298e-3, 2.5e-5):
    for df in T:
        print("t", repr(tail), df, 0, repr(float(stats.t.isf(tail, df))))
    for df1, df2 in F:
        print("f", repr(tail), df1, df2, repr(float(stats.f.isf(tail, df1, df2))))
