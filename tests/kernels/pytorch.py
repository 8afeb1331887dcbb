"""Whole nets against PyTorch: the same weights and batches, 1 step to 1e-5 and 100 steps to 1e-3.

Adam's epsilon is 1e-4 here: with 1e-7, weights whose gradient is next to nothing move by the sign of its rounding
error, and PyTorch in float32 is 1.6e-2 away from PyTorch in float64 after 100 steps of the CIFAR net. With 1e-4 it is 2.6e-5.

Usage: pytorch.py NET_DRIVER. Exit 77 with the reason when PyTorch is missing.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as missing:
    print(f"SKIPPED: {missing} (apt-get install python3-torch python3-numpy)")
    sys.exit(77)

DRIVER = sys.argv[1]
torch.set_num_threads(1)


class Cifar(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)])
        self.dense = nn.ModuleList([nn.Linear(1024, 64), nn.Linear(64, 10)])
        self.order = [*self.conv, *self.dense]

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv[0](x)), 2)
        x = F.max_pool2d(F.relu(self.conv[1](x)), 2)
        x = F.relu(self.conv[2](x))
        x = x.permute(0, 2, 3, 1).flatten(1)  # h, w, c with c fastest
        return self.dense[1](F.relu(self.dense[0](x)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        norm = lambda: nn.BatchNorm2d(16, eps=1e-3, momentum=0.1)
        self.order = nn.ModuleList([
            nn.Conv2d(3, 16, 3, padding=1, bias=False), norm(), nn.Conv2d(16, 16, 3, padding=1, bias=False), norm(),
            nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.Linear(24, 10)])

    def forward(self, x):
        o = self.order
        trunk = F.relu(o[1](o[0](x)))
        x = F.relu(trunk + o[4](F.relu(o[3](o[2](trunk)))))
        x = torch.tanh(o[5](F.max_pool2d(x, 2)))
        return o[6](x.mean((2, 3)))


def tensors_of(module):
    """Our name of each tensor -> the PyTorch tensor, and how ours is laid out."""
    if isinstance(module, nn.BatchNorm2d):
        return {"gamma": module.weight, "beta": module.bias,
                "mean": module.running_mean, "variance": module.running_var}
    return {"kernel": module.weight} | ({"bias": module.bias} if module.bias is not None else {})


def to_ours(tensor):
    a = tensor.detach().numpy()
    return (a.transpose(2, 3, 1, 0) if a.ndim == 4 else a.T).reshape(-1)  # HWIO; [in][out]


def layout_of(net):
    lines = subprocess.run([DRIVER, net, "layout"], check=True, capture_output=True, text=True).stdout.splitlines()
    total = int(lines.pop().split()[1])
    layers = {}
    for line in lines:
        number, _, tensor, offset, count = line.split()
        layers.setdefault(int(number), {})[tensor] = (int(offset), int(count))
    return total, [layers[i] for i in sorted(layers)]


def pack(model, total, layout):
    w = np.zeros(total, np.float32)
    for module, places in zip(model.order, layout, strict=True):
        tensors = tensors_of(module)
        assert tensors.keys() == places.keys(), (tensors.keys(), places.keys())
        for name, (offset, count) in places.items():
            flat = to_ours(tensors[name])
            assert flat.size == count, (name, flat.size, count)
            w[offset:offset + count] = flat
    return w


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001, eps=1e-4),
}


def compare(net, make, image, optimizer, batch, steps, tolerance):
    torch.manual_seed(3)
    model = make()
    total, layout = layout_of(net)
    w = pack(model, total, layout)
    rng = np.random.default_rng(5)
    centres = rng.normal(0, 1, (10, *image)).astype(np.float32)
    y = rng.integers(0, 10, (steps, batch)).astype(np.int32)
    x = (centres[y] * 0.5 + rng.normal(0, 1, (steps, batch, *image)) * 0.5).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("w.f32", w), ("x.f32", x), ("y.i32", y)):
            data.tofile(os.path.join(folder, name))
        subprocess.run([DRIVER, net, optimizer, str(batch), str(steps), folder], check=True)
        ours = np.fromfile(os.path.join(folder, "out.f32"), np.float32)
        our_losses = np.fromfile(os.path.join(folder, "losses.f32"), np.float32)
    opt = OPTIMIZERS[optimizer](model.parameters())
    losses = []
    for i in range(steps):
        opt.zero_grad()
        images = torch.from_numpy(x[i].transpose(0, 3, 1, 2).copy())
        loss = F.cross_entropy(model(images), torch.from_numpy(y[i]).long())
        loss.backward()
        opt.step()
        losses.append(loss.item())
    theirs = pack(model, total, layout)
    off_w = np.abs(ours - theirs).max()
    off_loss = np.abs(our_losses - np.array(losses, np.float32)).max()
    moved = np.abs(theirs - w).max()
    good = off_w <= tolerance and off_loss <= tolerance
    print(f"{net:9} {optimizer:9} {steps:4} steps: weights off by {off_w:.2e} (moved {moved:.2e}), "
          f"losses by {off_loss:.2e}, loss {losses[0]:.3f} -> {losses[-1]:.3f}{'' if good else '   TOO MUCH'}")
    return good


results = []
for name, make, image in (("cifar", Cifar, (32, 32, 3)), ("residual", Residual, (12, 12, 3))):
    for optimizer in OPTIMIZERS:
        results.append(compare(name, make, image, optimizer, 16, 1, 1e-5))
        results.append(compare(name, make, image, optimizer, 16, 100, 1e-3))
sys.exit(0 if all(results) else 1)
