#!/usr/bin/python3
"""What is wrong with a file is said in one line that names the file and the place; no stream is left behind, and
nothing that a file says makes the program crash or ask for much memory."""
import gzip
import os
import resource
import struct
import sys
import zlib

from stream_tool import TENSAIR, check, finish, info, run, work

OUT = work("out.h5")


def write(name, content):
    os.makedirs(os.path.dirname(work(name)), exist_ok=True)
    with open(work(name), "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    return work(name)


def refused(*arguments, says, status=74):
    run(*arguments, "-o", OUT, status=status, says=says)
    check(not os.path.exists(OUT) and not os.path.exists(OUT + ".partial"), f"{arguments}: something was left behind")


def header(*dims, kind=8):
    return struct.pack(f">HBB{len(dims)}I", 0, kind, len(dims), *dims)


def idx():
    images, labels = header(3, 2, 2) + bytes(12), header(3) + bytes([0, 1, 2])
    good = [write("i", images), write("l", labels)]
    run("import", "idx", *good, "-o", work("good.h5"))
    for cut in range(len(images)):
        refused("import", "idx", write("cut", images[:cut]), good[1], says=["cut: "])
    for cut in range(len(labels)):
        refused("import", "idx", good[0], write("cut", labels[:cut]), says=["cut: "])
    packed = gzip.compress(images)
    for cut in range(2, len(packed)):
        refused("import", "idx", write("cut.gz", packed[:cut]), good[1], says=["cut.gz: "])
    for at in range(10, len(packed) - 8):
        broken = bytearray(packed)
        broken[at] ^= 0x55
        refused("import", "idx", write("broken.gz", bytes(broken)), good[1], says=["broken.gz: "])
    refused("import", "idx", good[0], write("two", header(2) + bytes(2)), says=["3 images", "2 labels"])
    refused("import", "idx", *reversed(good), says=["IMAGES LABELS"])
    refused("import", "idx", write("more", images + b"x"), good[1], says=["goes on behind the 3 records"])
    refused("import", "idx", write("kind", header(3, 2, 2, kind=13)), good[1], says=["0x0d"])
    refused("import", "idx", write("zero", header(3, 0, 2)), good[1], says=["dimension 1 is 0"])
    most = 2**32 - 1
    refused("import", "idx", write("huge", header(3, most, most, most)), good[1], says=["the most allowed"])
    refused("import", "idx", write("many", header(most, 28, 28)), write("manyl", header(most)), says=["image 0 of"])
    refused("import", "idx", work("none"), good[1], says=["none: cannot be opened: No such file"])
    refused("import", "idx", work("."), good[1], says=["Is a directory"])


def cifar10():
    record = bytes([9]) + bytes(3072)
    refused("import", "cifar10", write("c", record + record[:100]), says=["100 bytes into record 1"])
    refused("import", "cifar10", write("c", record + bytes([10]) + bytes(3072)), says=["record 1 has label 10"])
    refused("import", "cifar10", write("c", b""), says=["is empty"])
    refused("import", "cifar10", write("c", record), work("gone"), says=["gone: cannot be opened"])
    refused("import", "cifar10", write("c.gz", gzip.compress(record * 3)[:-9]), says=["c.gz: ", "cut short"])


PLAIN = "columns:\n  - {name: a, role: x}\n  - {name: b, role: x}\n  - {name: c, role: y, type: category}\n"


def csv_case(text, says, schema=PLAIN, status=74):
    refused("import", "csv", write("t.csv", text), "--schema", write("s.yaml", schema), says=says, status=status)


def csv_rows():
    csv_case("1,2,x\n1,2\n", ["t.csv:2: 2 columns, but the schema describes 3"])
    csv_case("1,2,x\n\n1,2,x,9\n", ["t.csv:3: 4 columns"])
    csv_case("1,2,x\n1,abc,x\n", ["t.csv:2: column 2 'b': 'abc' is not a finite number"])
    for bad in ("nan", "inf", "-inf", "1e999", "0x10", "1,5", "1 2", "--1", "1e"):
        csv_case(f'1,2,x\n1,"{bad}",x\n', ["t.csv:2: column 2 'b'", "is not a finite number"])
    csv_case("1,2,x\n1,,x\n", ["t.csv:2: column 2 'b'", "missing"])
    csv_case('1,"2\n\n', ["t.csv:1: a quote is opened and never closed"])
    csv_case('1,"2"3,x\n', ["t.csv:1: text behind a closing quote"])
    csv_case("1,2,x\n1,\0,x\n", ["t.csv:2: a NUL byte"])
    csv_case("", ["column 'c' holds no value at all"])
    csv_case("1,2," + "x" * (1 << 20) + "\n", ["t.csv:1: the row is longer than 1048576 bytes"])
    csv_case("," * (1 << 21), ["t.csv:1: the row is longer"])
    csv_case("1,2,u\n1,2,v\n1,2,w\n", ["t.csv:3: column 3 'c': 'w' is not one of the column's categories"],
             PLAIN.replace("category}", "category, categories: [u, v]}"))
    csv_case("".join(f"1,2,{i}\n" for i in range(65537)), ["t.csv:65537: column 3 'c' has more than 65536 different"])
    csv_case("a,b,d\n1,2,x\n", ["t.csv:1: column 3 is called 'd', but 'c' in the schema"], "header: true\n" + PLAIN)
    csv_case("1,2,x\n256,2,x\n", ["t.csv:2: column 1 'a': '256' is not a whole number from 0 to 255"],
             "element: uint8\n" + PLAIN)
    timed = PLAIN + "  - {name: t, role: t}\n"
    csv_case("1,2,x,5\n1,2,x,4.999999999\n", ["t.csv:2: its time lies before"], timed)
    csv_case("1,2,x,noon\n", ["t.csv:1: column 4 't': 'noon' does not fit the time format"], timed)
    csv_case("1,2,x,99999999999999999999\n", ["does not fit the time format"], timed)
    skipping = PLAIN.replace("{name: a, role: x}", "{name: a, role: x, missing: skip}")
    csv_case(",2,x\n,2,y\n", ["not one row is left to import (2 were skipped"], skipping)
    two = "columns:\n  - {name: a, role: x}\nlabels:\n  columns:\n    - {name: c, role: y, type: category}\n"
    arguments = ["import", "csv", write("t.csv", "1\n2\n3\n"), "--schema", write("s.yaml", two)]
    refused(*arguments, says=["--labels FILE"], status=2)
    refused(*arguments, "--labels", write("l.csv", "0\n1\n"), says=["l.csv ends behind line 2,", "t.csv goes on at"])
    refused(*arguments, "--labels", write("l.csv", "0\n1\n0\n1\n"), says=["t.csv ends behind line 3,", "l.csv goes on"])


def csv_schemas():
    def wrong(schema, *says):
        csv_case("1,2,x\n", ["s.yaml", *says], schema, status=2)
    wrong("columns: []\n")
    wrong("colums: []\n", "colums", "columns")
    wrong(PLAIN + "delimiter: '::'\n", "'::'")
    wrong(PLAIN.replace("role: y", "role: z"), "z")
    wrong(PLAIN.replace("role: x", "role: ignore"), "no column has 'role: x'")
    wrong(PLAIN + "  - {name: d, role: y}\n", "labels are one column")
    wrong(PLAIN + "  - {name: t, role: t}\n  - {name: u, role: t}\n", "more than one column has 'role: t'")
    wrong(PLAIN + "shape: [2, 2, 2]\n", "shape 2 x 2 x 2 does not fit the 2 elements")
    wrong(PLAIN + "shape: [4294967295, 4294967295, 4294967295]\n", "does not fit")
    wrong(PLAIN.replace("{name: a, role: x}", "{name: a, role: x, missing: fill}"), "'a'", "fill: VALUE")
    wrong(PLAIN.replace("{name: a, role: x}", "{name: a, role: x, repeat: 4000000000}"), "'a'", "repeat")
    wrong(PLAIN.replace("category}", "category, categories: [x], names: [p, q]}"), "'c'", "as many 'names'")
    csv_case("1,2,x\n", ["t.csv: column 'c' has 1 categories, but the schema has 2 names"],
             PLAIN.replace("category}", "category, names: [p, q]}"), status=2)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(w, h, body=None):
    raw = zlib.compress(b"".join(bytes(1 + 3 * w) for _ in range(h)) if body is None else body)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) + chunk(b"IDAT", raw) +
            chunk(b"IEND", b""))


# 8 x 8 grey pixels by libjpeg; the size stands behind the marker ff c0, length and precision.
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b"
    "0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc0000b080008000801011100ffc4001f000001050101"
    "0101010100000000000000000102030405060708090a0bffc400b5100002010303020403050504040000017d010203000411051221314106"
    "13516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a535455"
    "565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9ba"
    "c2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda0008010100003f00ced23c1963e21d2a"
    "e7e1cfc399edf4ef015942e3c51e32122c50df448a4cd0c331202da2a86f326c81280403e4e4cdffd9")


def pictures():
    def case(files, says, *options, status=74):
        folder = f"p{case.number}"
        case.number += 1
        os.makedirs(work(folder))
        for name, content in files.items():
            write(f"{folder}/{name}", content)
        refused("import", "images", work(folder), "--as-found", *options, says=says, status=status)
        return work(folder)
    case.number = 0
    good = png(4, 4)
    case({}, ["there is no folder in it"])
    case({"a/1.png": good, "b/notes.txt": b"x"}, ["/b: holds no .jpg"])
    case({"train/a/1.png": good, "test/a/1.png": good}, ["--split train"])
    case({"a/1.png": good, "a/2.png": png(4, 5)}, ["a/2.png: 4 x 5 pixels", "4 x 4", "--resize"])
    case({"a/1.png": b"GIF89a"}, ["a/1.png: neither a JPEG nor a PNG"])
    case({"a/1.png": b""}, ["a/1.png: neither"])
    for cut in range(9, len(good) - 12, 5):
        case({"a/1.png": good[:cut]}, ["a/1.png: damaged PNG"])
    case({"a/1.png": png(16385, 1, b"")}, ["16385 x 1 pixels are too many"])
    case({"a/1.png": png(16000, 16000, b"")}, ["16000 x 16000 pixels are too many"])
    case({"a/1.png": png(8000, 8000, b"")}, ["a/1.png: damaged PNG"])
    case({"a/1.jpg": JPEG[:10]}, ["a/1.jpg: damaged JPEG"])
    for cut in range(25, len(JPEG), 30):
        case({"a/1.jpg": JPEG[:cut]}, ["a/1.jpg: damaged JPEG"])
    at = JPEG.index(b"\xff\xc0") + 5
    case({"a/1.jpg": JPEG[:at] + b"\xf0\0\xf0\0" + JPEG[at + 4:]}, ["61440 x 61440 pixels are too many"])
    case({"a/1.jpg": JPEG[:at] + b"\0\0\0\0" + JPEG[at + 4:]}, ["a/1.jpg: "])
    case({"a/1.png": good[:50]}, ["not one of its 1 pictures can be read"], "--skip-unreadable")
    case({"a/1.png": good}, ["--resize"], "--resize", "0x4", status=2)
    case({"a/1.png": good}, ["--resize"], "--resize", "99999x4", status=2)
    kept = work("kept.h5")
    write("kept/a/1.png", good)
    write("kept/a/2.png", good[:50])
    said = run("import", "images", work("kept"), "--skip-unreadable", "-o", kept)
    check("1 damaged pictures" in said, "skipped pictures are not said")
    loop = work("loop/a")
    os.makedirs(loop)
    os.symlink(loop, f"{loop}/again")
    refused("import", "images", work("loop"), says=["folders deep"])


def text():
    refused("import", "text", write("w", "a b c\nd"), says=["none of its 4 words occurs 5 times: lower --min-count"])
    refused("import", "text", write("w", ""), says=["holds no words"])
    refused("import", "text", write("w", b"a\0b a a a a"), "--min-count", 1, says=["byte 1 is NUL"])
    packed = gzip.compress(b"a word or two and a word more\n" * 100)
    for cut in range(2, len(packed)):
        refused("import", "text", write("w.gz", packed[:cut]), "--min-count", 1, says=["w.gz: ", "cut short"])
    run("import", "text", write("w", ("x" * 500 + " ") * 3), "--min-count", 1, "-o", work("long.h5"))
    check(info(work("long.h5"))["max"] == 0, "a word of 500 letters is not one word")


def usage():
    refused("import", "gif", "a", says=["cannot import 'gif'; there are idx"], status=2)
    refused("import", "idx", "a", says=["takes 2 files, but 1 is given"], status=2)
    refused("import", "idx", "a", "b", "--gray", says=["--gray is not for 'import idx'"], status=2)
    refused("import", "text", "a", "--min-count", "-3", says=["--min-count: '-3'"], status=2)
    refused("import", "text", "a", "--nonsense", says=["--nonsense"], status=2)
    refused("import", "csv", "a", says=["--schema"], status=2)
    refused("make", "sea", says=["--records"], status=2)
    refused("make", "sea", "--records", "1e6", says=["--records: '1e6'"], status=2)
    refused("make", "sea", "--records", "18446744073709551616", says=["--records"], status=2)
    refused("make", "see", "--records", 5, says=["no generator 'see'"], status=2)
    run("make", "sea", "--records", 5, status=2, says=["-o OUT.h5"])
    run("make", "sea", "--records", 5, "-o", work("no/such/folder.h5"), status=74, says=["no/such/folder.h5"])
    run("info", work("nothing.h5"), status=74, says=["nothing.h5"])
    run("info", status=2, says=["name one stream file"])
    run("nonsense", status=2, says=["make, import and info"])
    for verb in ("make", "import", "info"):
        check("usage: tensair data " + verb in run(verb, "--help"), f"{verb} --help")
    run("make", "sea", "--records", 1000, "-o", work("v.h5"))
    run("info", work("v.h5"), "--verify")
    import h5py
    with h5py.File(work("v.h5"), "r+") as f:
        f["x"][500, 1] = f["x"][500, 1] + 1
    run("info", work("v.h5"))
    run("info", work("v.h5"), "--verify", status=74, says=["checksum", "it was changed"])
    with h5py.File(work("v.h5"), "r+") as f:
        del f.attrs["checksum"]
    run("info", work("v.h5"), "--verify", status=74, says=["no checksum"])


def is_sanitized():
    with open(TENSAIR, "rb") as f:
        return b"__asan" in f.read() or b"__tsan" in f.read()


# A file must not talk the program into much memory. (Sanitizers reserve address space of their own.)
if not is_sanitized():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
{f.__name__: f for f in (idx, cifar10, csv_rows, csv_schemas, pictures, text, usage)}[sys.argv[1]]()
finish(0, f"{sys.argv[1]}: what is wrong is refused")
