#!/usr/bin/python3
"""The optimizer against PyTorch's: the same gradients and weights, the same weights after every step."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as missing:
    print("SKIPPED: python3-torch or python3-numpy is not installed:", missing)
    sys.exit(77)

DRIVER = sys.argv[1]
N, STEPS = 37, 25  # 37: no multiple of 16, so the arena has a gap

torch.set_num_threads(1)


def keras_adagrad(params, lr):
    return torch.optim.Adagrad(params, lr=lr, eps=1e-7)


CASES = [
    ("type: sgd, rate: 0.1", lambda p: torch.optim.SGD(p, lr=.1), {}),
    ("type: sgd, rate: 0.1, weight_decay: 0.02", lambda p: torch.optim.SGD(p, lr=.1, weight_decay=.02), {}),
    ("type: sgd, rate: 0.1, clip_norm: 1.5", lambda p: torch.optim.SGD(p, lr=.1), {"norm": 1.5}),
    ("type: sgd, rate: 0.1, clip_value: 0.4", lambda p: torch.optim.SGD(p, lr=.1), {"value": .4}),
    ("type: momentum, rate: 0.05", lambda p: torch.optim.SGD(p, lr=.05, momentum=.9), {}),
    ("type: momentum, rate: 0.05, momentum: 0.7, nesterov: true",
     lambda p: torch.optim.SGD(p, lr=.05, momentum=.7, nesterov=True), {}),
    ("type: momentum, rate: 0.05, weight_decay: 0.1, clip_norm: 2",
     lambda p: torch.optim.SGD(p, lr=.05, momentum=.9, weight_decay=.1), {"norm": 2}),
    ("type: adam", lambda p: torch.optim.Adam(p, lr=.001, eps=1e-7), {}),
    ("type: adam, rate: 0.02, beta1: 0.8, beta2: 0.95, epsilon: 1e-5",
     lambda p: torch.optim.Adam(p, lr=.02, betas=(.8, .95), eps=1e-5), {}),
    ("type: adam, rate: 0.02, weight_decay: 0.1",
     lambda p: torch.optim.Adam(p, lr=.02, weight_decay=.1, eps=1e-7), {}),
    ("type: adam, rate: 0.02, weight_decay: 0.1, decoupled: true",
     lambda p: torch.optim.AdamW(p, lr=.02, weight_decay=.1, eps=1e-7), {}),
    ("type: adagrad, rate: 0.1", lambda p: keras_adagrad(p, .1), {}),
    ("type: sgd, rate: 0.1, schedule: step, schedule_steps: 5, schedule_factor: 0.5",
     lambda p: torch.optim.SGD(p, lr=.1), {"schedule": lambda o: torch.optim.lr_scheduler.StepLR(o, 5, .5)}),
    ("type: sgd, rate: 0.1, schedule: exponential, schedule_steps: 1, schedule_factor: 0.9",
     lambda p: torch.optim.SGD(p, lr=.1), {"schedule": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, .9)}),
    ("type: sgd, rate: 0.1, schedule: cosine, schedule_steps: 40, schedule_factor: 0.1",
     lambda p: torch.optim.SGD(p, lr=.1), {"schedule": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40, .01)}),
    ("type: sgd, rate: 0.1, schedule: inverse, schedule_steps: 7, warmup_steps: 4", lambda p: torch.optim.SGD(p, lr=.1),
     {"schedule": lambda o: torch.optim.lr_scheduler.LambdaLR(
         o, lambda k: (k + 1) / 4 if k < 4 else 1 / (1 + (k - 4) / 7))}),
]


def theirs(make, options, grads, w0):
    w = torch.nn.Parameter(torch.tensor(w0))
    optimizer = make([w])
    schedule = options["schedule"](optimizer) if "schedule" in options else None
    out = []
    for g in grads:
        w.grad = torch.tensor(g)
        if "norm" in options:
            torch.nn.utils.clip_grad_norm_([w], options["norm"])
        if "value" in options:
            torch.nn.utils.clip_grad_value_([w], options["value"])
        optimizer.step()
        if schedule:
            schedule.step()
        out.append(w.detach().numpy().copy())
    return np.array(out)


def main():
    rng = np.random.default_rng(5)
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)
        for text, make, options in CASES:
            grads = rng.normal(size=(STEPS, N)).astype(np.float32)
            w0 = rng.normal(size=N).astype(np.float32)
            grads.tofile(path("grads"))
            w0.tofile(path("w0"))
            with open(path("c.yaml"), "w") as config:
                config.write("model: {input: [%d], loss: squared_error, layers: [\n"
                             "  {type: dense, units: 1, no_bias: true}]}\noptimizer: {%s}\n" % (N, text))
            subprocess.run([DRIVER, "optimize", path("c.yaml"), str(STEPS), path("grads"), path("w0"), path("out")],
                           check=True)
            ours = np.fromfile(path("out"), np.float32).reshape(STEPS, N)
            error = np.abs(ours - theirs(make, options, grads, w0)).max()
            worst = max(worst, error)
            print("%-80s %.2e" % (text, error))
            if not error < 2e-6:
                sys.exit("FAILED: %s: differs by %g" % (text, error))
    print("worst difference %.2e over %d cases" % (worst, len(CASES)))


main()
