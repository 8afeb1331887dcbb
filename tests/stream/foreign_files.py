"""Stream files as other people make them with h5py, right and wrong: foreign_files.py DIRECTORY.

Writes one file each; test_hdf5_foreign.c knows what each must lead to."""
import sys

import h5py
import numpy as np

directory = sys.argv[1]
n = 50
images = (np.arange(n * 12) % 256).astype("u1").reshape(n, 4, 3)
vectors = np.arange(n * 4, dtype="f4").reshape(n, 4)
labels = np.arange(n) % 7


def make(name, x=None, y=labels, options=None, **attributes):
    with h5py.File(f"{directory}/{name}.h5", "w") as f:
        if x is not None:
            f.create_dataset("x", data=x, **(options or {}))
        if y is not None:
            f["y"] = y
        f.attrs.update(attributes)


# right
make("mnist_like", images, labels.astype("u1"))
make("gzip_shuffle", images, options=dict(chunks=(8, 4, 3), compression="gzip", shuffle=True, fletcher32=True))
make("big_endian", vectors.astype(">f4"), labels.astype(">i8"))
make("float64", vectors.astype("f8"))
make("regression", vectors, vectors[:, :2])
make("ours_fixed_strings", images, format=np.bytes_("tensair-stream"), version=1, records=n, classes=9,
     class_names=np.array(list("abcdefghi"), dtype="S1"), scale=np.float32(0.5), origin=np.bytes_("h5py"))
make("ours_python_str", images, format="tensair-stream", version=np.uint8(1), scale=2, classes=np.int16(7))

# wrong
make("no_x")
make("no_y", images, None)
make("float16", vectors.astype("f2"))
make("text", np.array([b"abc"] * n))
make("compound", np.zeros(n, dtype=[("a", "f4"), ("b", "i4")]))
make("scalar", np.float32(3))
make("boolean_labels", vectors, labels > 3)
make("text_labels", vectors, np.array([b"cat"] * n))
make("one_hot", vectors, np.eye(7, dtype="i4")[labels])
make("lzf", images, options=dict(compression="lzf"))
make("scale_is_text", images, format="tensair-stream", version=1, scale="one half")
make("version_is_list", images, format="tensair-stream", version=[1, 2, 3])
make("negative", images, labels - 3)
with h5py.File(f"{directory}/group.h5", "w") as f:
    f.create_group("x")
    f["y"] = labels
with h5py.File(f"{directory}/dangling.h5", "w") as f:
    f["x"] = h5py.SoftLink("/nowhere")
    f["y"] = labels
with h5py.File(f"{directory}/virtual.h5", "w") as f:
    layout = h5py.VirtualLayout(shape=(n, 4, 3), dtype="u1")
    layout[:] = h5py.VirtualSource(f"{directory}/mnist_like.h5", "x", shape=(n, 4, 3))
    f.create_virtual_dataset("x", layout)
    f["y"] = labels
with h5py.File(f"{directory}/absurd.h5", "w") as f:  # 2^50 bytes claimed, none written
    f.create_dataset("x", shape=(2**40, 32, 32), dtype="u1", chunks=(64, 32, 32))
    f["y"] = labels
with h5py.File(f"{directory}/wide.h5", "w") as f:  # one record of 4 GiB
    f.create_dataset("x", shape=(2, 2**16, 2**16), dtype="u1", chunks=(1, 256, 256))
    f["y"] = np.zeros(2, "i4")

# checksummed all over: metadata too
with h5py.File(f"{directory}/armoured.h5", "w", libver=("v110", "v110")) as f:
    f.create_dataset("x", data=images, chunks=(8, 4, 3), maxshape=(None, 4, 3), fletcher32=True)
    f.create_dataset("y", data=labels.astype("i4"), chunks=(16,), maxshape=(None,), fletcher32=True)
    f.attrs.update(format=np.bytes_("tensair-stream"), version=1, records=n, classes=7, origin=np.bytes_("h5py"))
