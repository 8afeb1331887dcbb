"""Ours and PyTorch in turns on one core: see kernels_vs_pytorch.sh.

Options: --rounds N (default 5), --seconds S of each turn (default 1), --batch B (may be given several times).
"""
import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

arguments = argparse.ArgumentParser()
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--seconds", type=float, default=1.0)
arguments.add_argument("--batch", type=int, action="append")
arguments = arguments.parse_args()
torch.set_num_threads(1)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10))


def optimizer_of(name, parameters, foreach):
    make = torch.optim.SGD if name == "sgd" else torch.optim.Adam
    return make(parameters, lr=1e-4, foreach=foreach)


class Theirs:
    def __init__(self, optimizer, batch, layout, foreach):
        torch.manual_seed(1)
        self.what = f"{'channels-last' if layout == torch.channels_last else 'NCHW'}, foreach={foreach}"
        self.model = network().to(memory_format=layout)
        self.x = torch.randn(batch, 3, 32, 32).to(memory_format=layout)
        self.y = torch.randint(0, 10, (batch,))
        self.optimizer = optimizer_of(optimizer, self.model.parameters(), foreach)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()

    def seconds(self, how_long):
        """The median of a step."""
        for _ in range(3):
            self.step()
        times, end = [], time.perf_counter() + how_long
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - start)
        return statistics.median(times)


def ours(optimizer, batch, how_long):
    command = [os.environ["TENSAIR"], "bench", "kernels", "--kernels", "cpu", "--model", "cifar10", "--raw",
               "--optimizer", optimizer, "--batch", str(batch), "--seconds", str(how_long)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ratio(optimizer, batch):
    forms = [Theirs(optimizer, batch, layout, foreach)
             for layout, foreach in itertools.product((torch.contiguous_format, torch.channels_last), (False, True))]
    best = min(forms, key=lambda f: f.seconds(arguments.seconds / 3))
    ratios, mine, his = [], [], []
    for _ in range(arguments.rounds):
        his.append(best.seconds(arguments.seconds))
        mine.append(ours(optimizer, batch, arguments.seconds))
        ratios.append(his[-1] / mine[-1])
    print(f"batch {batch}, {optimizer}: ours {batch / statistics.median(mine):.0f} records/s, PyTorch "
          f"{torch.__version__} {batch / statistics.median(his):.0f} ({best.what}), "
          f"ratios {' '.join(f'{r:.2f}' for r in sorted(ratios))}", flush=True)
    return statistics.median(ratios)


for size in arguments.batch or (32, 64, 128):
    least = min(ratio(name, size) for name in ("sgd", "adam"))
    print(f"FIGURE cifar_cnn_vs_pytorch_b{size} {least:.2f} ratio asked >= 1.2", flush=True)
sys.exit(0)
