"""The same networks in PyTorch, as the peer of bench_net.c, by the same lines of input and output:

    prepare NET BATCH COMPUTE FORM     ready PARAMETERS BYTES
    round SECONDS                      rate RECORDS_PER_S STEPS LOSS
    apply                              seconds SECONDS    (of one sum of ten arrays of 25 million floats, for scale)
    free                               freed

NET: cifar10, resnet50, tiny. COMPUTE: float32 (TF32 off everywhere), tf32 (on everywhere), bfloat16 (autocast over
float32 weights, which is what ours does, too), bfloat16_pure (weights and all in bfloat16). FORM: eager; graph (a step,
forward to update, as one CUDA graph). All channels-last, cudnn.benchmark on, SGD with momentum in its fastest form
(fused, where there is one). Batches come from pinned memory, float32, on a stream of their own while the step before
runs; the loss is looked at once a round, not every step, which is to PyTorch's advantage. --device cpu: for tests.
"""
import argparse
import contextlib
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

BATCHES, WARM = 2, 8


def cifar10():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10))


def tiny():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 4))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
        self.shortcut = nn.Identity() if inputs == 4 * width else nn.Sequential(
            nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for i in range(blocks):
            width = 64 << stage
            layers.append(Bottleneck(inputs, width, 2 if stage > 0 and i == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


NETS = {"cifar10": (cifar10, 32, 10, 122570), "resnet50": (resnet50, 224, 1000, 25557032), "tiny": (tiny, 8, 4, 516)}


class Feeder:
    """The next batch on its way while the step before runs: two of them, a stream of its own."""

    def __init__(self, device, batch, side, classes):
        self.device, self.number = device, 0
        cuda = device.type == "cuda"
        hosts = [torch.randn(batch, side, side, 3) for _ in range(BATCHES)]
        labels = [torch.randint(0, classes, (batch,)) for _ in range(BATCHES)]
        self.hosts = [(x.pin_memory(), y.pin_memory()) if cuda else (x, y) for x, y in zip(hosts, labels)]
        self.near = [(torch.empty_like(x, device=device), torch.empty_like(y, device=device)) for x, y in self.hosts]
        self.stream = torch.cuda.Stream() if cuda else None
        self.arrived = [torch.cuda.Event() for _ in range(BATCHES)] if cuda else None
        self.used = [torch.cuda.Event() for _ in range(BATCHES)] if cuda else None
        self.send(0)

    def send(self, which):
        if self.stream is None:
            for near, host in zip(self.near[which], self.hosts[which]):
                near.copy_(host)
            return
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.used[which])
            for near, host in zip(self.near[which], self.hosts[which]):
                near.copy_(host, non_blocking=True)
            self.arrived[which].record(self.stream)

    def next(self, x, y):
        """Into x, y, as the step wants them (and float32 to its type), and the next batch is sent."""
        which, self.number = self.number % BATCHES, self.number + 1
        self.send(self.number % BATCHES)
        if self.stream is not None:
            torch.cuda.current_stream().wait_event(self.arrived[which])
        x.copy_(self.near[which][0].permute(0, 3, 1, 2))
        y.copy_(self.near[which][1])
        if self.stream is not None:
            self.used[which].record()


class Step:
    def __init__(self, device, net, batch, compute, form):
        make, side, classes, parameters = NETS[net]
        torch.manual_seed(1)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = compute == "tf32"
        dtype = torch.bfloat16 if compute == "bfloat16_pure" else torch.float32
        self.model = make().to(device=device, dtype=dtype, memory_format=torch.channels_last)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        if self.parameters != parameters:
            raise RuntimeError(f"{net} has {self.parameters} parameters, not {parameters}")
        fused = {"fused": True} if device.type == "cuda" else {}
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, **fused)
        self.autocast = compute == "bfloat16"
        self.device, self.batch, self.graph = device, batch, None
        self.x = torch.empty(batch, 3, side, side, device=device, dtype=dtype, memory_format=torch.channels_last)
        self.y = torch.empty(batch, device=device, dtype=torch.long)
        self.feeder = Feeder(device, batch, side, classes)
        if form == "graph":
            self.capture()
        elif form != "eager":
            raise ValueError(f"form '{form}' is not one of eager, graph")
        self.seconds = 0.1
        self.run(WARM)
        start = time.perf_counter()
        self.run(WARM)
        self.seconds = (time.perf_counter() - start) / WARM

    def compute(self):
        scope = torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=self.graph is None) \
            if self.autocast else contextlib.nullcontext()
        with scope:
            loss = F.cross_entropy(self.model(self.x).float(), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def capture(self):
        """Whole-network capture as PyTorch's notes on CUDA graphs have it."""
        self.graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(4):
                self.feeder.next(self.x, self.y)
                self.optimizer.zero_grad(set_to_none=True)
                self.compute()
        torch.cuda.current_stream().wait_stream(aside)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.loss = self.compute()

    def once(self):
        self.feeder.next(self.x, self.y)
        if self.graph is not None:
            self.graph.replay()
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.loss = self.compute()

    def run(self, steps):
        for _ in range(steps):
            self.once()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def round(self, seconds):
        steps = max(4, int(seconds / self.seconds))
        start = time.perf_counter()
        self.run(steps)
        took = time.perf_counter() - start
        self.seconds = took / steps
        loss = float(self.loss)
        if loss != loss:
            raise RuntimeError("the loss is not finite")
        return f"rate {steps * self.batch / took:.6g} {steps} {loss:.5g}"


def apply(device, n=25_000_000):
    """w0 and nine registers, as stock PyTorch sums arrays: one pass after the other."""
    n = n if device.type == "cuda" else 1000
    arrays = [torch.randn(n, device=device) for _ in range(10)]
    total, times = torch.empty_like(arrays[0]), []
    for _ in range(12):
        start = time.perf_counter()
        torch.add(arrays[0], arrays[1], out=total)
        for array in arrays[2:]:
            total.add_(array)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return f"seconds {sorted(times)[len(times) // 2]:.6g}"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--device", default="cuda")
    device = torch.device(options.parse_args().device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("SKIPPED: this PyTorch finds no GPU", file=sys.stderr)
        return 77
    step = None
    for line in sys.stdin:
        words = line.split()
        try:
            if words[0] == "round":
                answer = step.round(float(words[1]))
            elif words[0] == "apply":
                answer = apply(device)
            else:
                step = None
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                answer = "freed"
                if words[0] == "prepare":
                    step = Step(device, words[1], int(words[2]), words[3], words[4])
                    answer = f"ready {step.parameters} {torch.cuda.memory_reserved() if device.type == 'cuda' else 0}"
        except Exception as error:  # whatever it is, the other side must hear of it and go on
            answer, step = "error " + " ".join(str(error).split())[:300], None
        print(answer, flush=True)
    return 0


sys.exit(main())
