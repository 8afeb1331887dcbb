"""What the Keras scripts of this folder share: models as YAML, the driver, and a forward pass in NumPy."""
import json
import os
import subprocess

import numpy as np

MODELS = {
    "cnn": ("""model:
  input: [11, 9, 3]
  loss: cross_entropy
  layers:
    - {type: conv2d, filters: 5, kernel: 3, padding: same, activation: relu}
    - {type: batch_norm}
    - {type: max_pool, pool: 2}
    - {type: conv2d, filters: 4, kernel: 3, stride: 2, padding: same, activation: tanh, no_bias: true}
    - {type: avg_pool, pool: 2, padding: same}
    - {type: dropout, rate: 0.5}
    - {type: flatten}
    - {type: dense, units: 6, activation: sigmoid}
    - {type: dense, units: 4}
""", (11, 9, 3)),
    "residual": ("""model:
  input: [8, 8, 2]
  loss: cross_entropy
  layers:
    - {type: conv2d, name: stem, filters: 4, kernel: 3, padding: same, activation: relu}
    - {type: conv2d, filters: 4, kernel: 3, padding: same}
    - {type: batch_norm, momentum: 0.9, epsilon: 0.01}
    - {type: add, with: stem, activation: relu}
    - {type: conv2d, filters: 3, kernel: 5, stride: 2}
    - {type: global_avg_pool}
    - {type: dense, units: 3, activation: softmax}
""", (8, 8, 2)),
    "vector": ("""model:
  input: [13]
  loss: binary_cross_entropy
  layers:
    - {type: dense, units: 7, activation: relu}
    - {type: batch_norm}
    - {type: dense, units: 7, name: again}
    - {type: add, with: batch_norm}
    - {type: dense, units: 1}
""", (13,)),
    "pixel": ("""model:
  input: [4, 4, 2]
  loss: squared_error
  layers:
    - {type: conv2d, filters: 3, kernel: 4, activation: relu}
    - {type: dense, units: 5, activation: tanh}
    - {type: conv2d, filters: 2, kernel: 1}
""", (4, 4, 2)),
}


class Driver:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def config(self, name):
        with open(self.path(name + ".yaml"), "w") as out:
            out.write(MODELS[name][0])
        return self.path(name + ".yaml")

    def write(self, name, seed=7):
        subprocess.run([self.program, "write", self.config(name), str(seed), self.path(name + ".h5")], check=True)
        return self.path(name + ".h5")

    def predict(self, name, weights, x):
        x.astype(np.float32).tofile(self.path("x"))
        words = [self.config(name), weights, str(len(x)), self.path("x"), self.path("y")]
        subprocess.run([self.program, "predict", *words], check=True)
        return np.fromfile(self.path("y"), np.float32).reshape(len(x), -1)

    def refuses(self, name, weights):
        """The message of a read that must fail with an exit code of a bad file."""
        np.zeros((1,) + MODELS[name][1], np.float32).tofile(self.path("x"))
        run = subprocess.run([self.program, "predict", self.config(name), weights, "1", self.path("x"), self.path("y")],
                             capture_output=True, text=True)
        assert run.returncode == 74, (run.returncode, run.stderr)
        return run.stderr


def records(name, count=6):
    return np.random.default_rng(3).normal(size=(count,) + MODELS[name][1]).astype(np.float32)


def windows(x, kernel, stride, padding, fill):
    """[n][out_h][out_w][kh][kw][c], by TensorFlow's rule for `same`."""
    if padding == "same":
        pads = []
        for size, k, s in zip(x.shape[1:3], kernel, stride):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    return np.moveaxis(view[:, ::stride[0], ::stride[1]], 3, -1)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": softmax,
}


def layer(kind, c, w, inputs):
    x = inputs[0]
    if kind == "Dense":
        y = x @ w["kernel:0"]
        return ACTIVATIONS[c["activation"]](y + w["bias:0"] if c["use_bias"] else y)
    if kind == "Conv2D":
        y = np.einsum("nhwijc,ijco->nhwo", windows(x, c["kernel_size"], c["strides"], c["padding"], 0), w["kernel:0"])
        return ACTIVATIONS[c["activation"]](y + w["bias:0"] if c["use_bias"] else y)
    if kind == "MaxPooling2D":
        return windows(x, c["pool_size"], c["strides"], c["padding"], -np.inf).max((3, 4))
    if kind == "AveragePooling2D":
        return np.nanmean(windows(x, c["pool_size"], c["strides"], c["padding"], np.nan), (3, 4))
    if kind == "GlobalAveragePooling2D":
        return x.mean((1, 2))
    if kind == "BatchNormalization":
        return (x - w["moving_mean:0"]) / np.sqrt(w["moving_variance:0"] + c["epsilon"]) * w["gamma:0"] + w["beta:0"]
    return {
        "InputLayer": lambda: x,
        "Dropout": lambda: x,
        "Flatten": lambda: x.reshape(len(x), -1),
        "Reshape": lambda: x.reshape((len(x), *c["target_shape"])),
        "Add": lambda: inputs[0] + inputs[1],
        "Activation": lambda: ACTIVATIONS[c["activation"]](x),
    }[kind]()


def forward(file, x):
    """The model of an open model.h5, from its model_config and weights alone, in double precision."""
    model = json.loads(file.attrs["model_config"])
    outputs, last = {}, x.astype(np.float64)
    for entry in model["config"]["layers"]:
        c, name = entry["config"], entry["config"]["name"]
        inputs = [outputs[node[0]] for node in entry["inbound_nodes"][0]] if entry.get("inbound_nodes") else [last]
        weights = {}
        if name in file["model_weights"]:
            group = file["model_weights"][name]
            names = map(text, group.attrs["weight_names"])
            weights = {n.split("/")[-1]: group[n][()].astype(np.float64) for n in names}
        last = outputs[name] = layer(entry["class_name"], c, weights, inputs)
    if model["class_name"] == "Functional":
        last = outputs[model["config"]["output_layers"][0][0]]
    return last.reshape(len(x), -1)


def text(value):
    return value.decode() if isinstance(value, bytes) else value
