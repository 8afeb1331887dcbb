#!/usr/bin/python3
"""Files of ours as h5py reads them, and files of h5py as we read them.

    h5py_oracle.py PROGRAM    PROGRAM is test_base_h5_oracle: `PROGRAM write FILE` and `PROGRAM read FILE`
"""
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"SKIPPED: {missing} (install python3-h5py)")
    sys.exit(77)

TYPES = ["uint8", "int8", "int32", "uint32", "int64", "uint64", "float32", "float64"]


def values(name, shape):
    count = int(np.prod(shape))
    return (np.arange(count) % 100).astype(name).reshape(shape)


def check_ours(path):
    with h5py.File(path, "r") as f:
        for name in TYPES:
            plain, packed = f[f"plain/{name}"], f[f"packed/{name}"]
            assert plain.dtype == np.dtype(name).newbyteorder("<"), (name, plain.dtype)
            assert plain.chunks is None and plain.maxshape == (5, 4)
            assert np.array_equal(plain[...], values(name, (5, 4))), name
            assert packed.chunks == (8, 3) and packed.maxshape == (None, 3)
            assert packed.compression == "gzip" and packed.compression_opts == 6
            assert packed.shuffle and packed.fletcher32
            assert np.array_equal(packed[...], values(name, (20, 3))), name
        assert f["scalar"].shape == () and f["scalar"][()] == 7
        text = f.attrs["text"]
        assert isinstance(text, str) and text == "grüße", repr(text)
        assert f.attrs["whole"] == -5 and f.attrs["whole"].dtype == np.int64
        assert f.attrs["real"] == 0.1
        names = f["plain"].attrs["names"]
        assert names.dtype.kind in "SO" and [bytes(n) for n in names] == [b"a", b"longer", b"ccc"], names
        assert len(f["plain"].attrs["none"]) == 0


def write_theirs(path, **options):
    with h5py.File(path, "w", **options) as f:
        for order in "<>":
            for name in TYPES:
                kind = np.dtype(name).newbyteorder(order)
                label = "little" if order == "<" else "big"
                f.create_dataset(f"{label}/{name}", data=values(name, (5, 4)).astype(kind))
        f.create_dataset("auto", data=values("float32", (100, 7)), chunks=True, compression="lzf")
        options = dict(compression="gzip", fletcher32=True)
        f.create_dataset("chunked", data=values("uint8", (50, 6)), chunks=(16, 4), **options)
        options["shuffle"] = True
        f.create_dataset("big_packed", data=values("float32", (50, 6)).astype(">f4"), chunks=(16, 6), **options)
        f.create_dataset("bool", data=np.array([True, False]))
        f.create_dataset("half", data=np.zeros(3, "float16"))
        f.create_dataset("compound", data=np.zeros(3, [("a", "f4"), ("b", "i4")]))
        f.create_dataset("words", data=["a", "bc"], dtype=h5py.string_dtype())
        f.create_dataset("empty", data=h5py.Empty("f4"))
        f.create_dataset("norows", shape=(0, 4), maxshape=(None, 4), dtype="u1")
        f.create_dataset("virtual_source", data=values("uint8", (4,)))
        layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
        layout[:] = h5py.VirtualSource(f["virtual_source"])
        f.create_virtual_dataset("virtual", layout)
        f["soft"] = h5py.SoftLink("/little/uint8")
        f["dangling"] = h5py.SoftLink("/nowhere")
        f["outside"] = h5py.ExternalLink("/nowhere.h5", "/x")
        f.attrs["text"] = "grüße"
        f.attrs["bytes"] = np.bytes_(b"fixed")
        f.attrs["short"] = np.int16(-3)
        f.attrs["whole"] = np.int64(-5)
        f.attrs["real"] = np.float32(0.5)
        f.attrs["big_endian"] = np.array(7, ">i4")
        f.attrs["names"] = np.array([b"a", b"longer"])
        f.attrs["words"] = ["x", "yy", ""]
        f.attrs["flag"] = True


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours.h5"), os.path.join(folder, "theirs.h5")
        subprocess.run([program, "write", ours], check=True)
        check_ours(ours)
        for options in ({}, {"libver": "latest"}, {"track_order": True}, {"userblock_size": 512}):
            write_theirs(theirs, **options)
            subprocess.run([program, "read", theirs], check=True)
            print("ok", options)


main()
