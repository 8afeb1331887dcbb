"""What to do where packed programs do not start (another libc): build what can be built there. Part of run.sh.

    collect BUILD TO     copies, from what CMake wrote down of a build, the sources of the plugin and of what measures
    build FROM TO        compiles them with gcc and nvcc: the plugin and gpu_bench_*. The program itself and the tests
                         need libraries that are not there: they are left out. A file that needs one is, too.
"""
import concurrent.futures
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

PLUGIN = ("ta_gpu_cuda", "ta_gpu_cuda_device", "ta_kernels_cuda", "ta_kernels_cuda_device", "ta_kernels_flat",
          "ta_kernels_flat_device", "ta_kernels_cudnn", "ta_kernels_cublaslt")
HOUSE = ("ta_kernels_common", "ta_base", "ta_gpu", "ta_kernels", "ta_kernels_cpu", "ta_model", "ta_rdma")
BENCHES = ("copy", "apply", "put", "net", "words", "faults")
# Headers of others that these need; all but the first two for types alone.
THIRD = ("xxhash.h", "Random123", "cyaml", "yaml.h", "jansson.h", "jansson_config.h", "zlib.h", "zconf.h",
         "x86_64-linux-gnu/jansson_config.h")


def collect(build, to):
    root = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    wanted = {*PLUGIN, *HOUSE, "tensair-cuda", *(f"gpu_bench_{b}" for b in BENCHES)}
    objects, folders = [], set()
    for entry in json.load(open(os.path.join(build, "compile_commands.json"), encoding="utf-8")):
        words = shlex.split(entry["command"])
        output = words[words.index("-o") + 1]
        target = re.search(r"CMakeFiles/([^/]+)\.dir/", output).group(1)
        source = os.path.realpath(entry["file"])
        if target not in wanted or not source.startswith(root + os.sep):
            continue
        includes = [os.path.relpath(os.path.realpath(w[2:]), root) for w in words if w.startswith("-I" + root)]
        includes = [i for i in includes if not i.startswith("build")]
        folders |= {*includes, os.path.dirname(os.path.relpath(source, root))}
        objects.append({"target": target, "file": os.path.relpath(source, root), "includes": includes,
                        "flags": [w for w in words if re.match(r"-D|-m|-ffp|-fopenmp|-O", w)]})
    for folder in folders:
        for pattern in ("*.h", "*.cuh", "*.inc"):
            for path in glob.glob(os.path.join(root, folder, pattern)):
                copy(path, os.path.join(to, folder, os.path.basename(path)))
    for thing in objects:
        copy(os.path.join(root, thing["file"]), os.path.join(to, thing["file"]))
    for name in THIRD:
        path = os.path.join("/usr/include", name)
        if os.path.isdir(path):
            shutil.copytree(path, os.path.join(to, "third", name), dirs_exist_ok=True)
        elif os.path.exists(path):
            copy(path, os.path.join(to, "third", os.path.basename(name)))
    with open(os.path.join(to, "objects.json"), "w", encoding="utf-8") as file:
        json.dump(objects, file, indent=1)
    print(f"sources: {len(objects)} files")


def copy(path, to):
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copyfile(path, to)


def cuda_includes():
    """Of the toolkit and of Python's wheels."""
    import bench_place
    wheels = [os.path.join(os.path.dirname(f), "include") for f in bench_place.vendor_folders()]
    return [f for f in ["/usr/local/cuda/include", *wheels] if os.path.isdir(f)]


def compile_one(sources, to, number, thing, nvcc, system):
    cuda = thing["file"].endswith(".cu")
    output = os.path.join(to, f"{thing['target']}-{number}.o")
    includes = [f"-I{os.path.join(sources, i)}" for i in thing["includes"]] + ["-I" + os.path.join(sources, "third")]
    vendor = [w for f in system for w in ("-isystem", f)]
    flags = thing["flags"]
    if cuda:
        flags = [f for f in flags if re.match(r"-D|-O", f)]
        command = [nvcc, "-std=c++17", "-gencode=arch=compute_90,code=sm_90", "-gencode=arch=compute_80,code=sm_80",
                   "-Xcompiler=-fPIC", *flags]
    else:
        command = ["gcc", "-std=c17", "-fPIC", "-DXXH_INLINE_ALL", *flags]
    done = subprocess.run([*command, *includes, *vendor, "-c", os.path.join(sources, thing["file"]), "-o", output],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0:
        return output, ""
    why = [line for line in done.stdout.split("\n") if "error" in line] or [done.stdout.strip()[-200:]]
    return None, f"{thing['file']}: {why[0]}"


def link(command, what):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    how = "built" if done.returncode == 0 else "cannot be linked: " + done.stdout[-300:]
    print(f"sources: {what} {how}", flush=True)


def build(sources, to):
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    os.makedirs(to, exist_ok=True)
    system, made = cuda_includes(), {}
    objects = json.load(open(os.path.join(sources, "objects.json"), encoding="utf-8"))
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [pool.submit(compile_one, sources, to, i, o, nvcc, system) for i, o in enumerate(objects)]
        for thing, job in zip(objects, jobs):
            output, why = job.result()
            if output:
                made.setdefault(thing["target"], []).append(output)
            else:
                print(f"sources: left out {why}", flush=True)
    for target in HOUSE:
        if made.get(target):
            subprocess.run(["ar", "rcs", os.path.join(to, f"lib{target}.a"), *made[target]], check=True)
    house = ["-L" + to, "-Wl,--start-group", *(f"-l{t}" for t in HOUSE if made.get(t)), "-Wl,--end-group"]
    import bench_place
    paths = [f"-L{f}" for f in [*bench_place.vendor_folders(), "/usr/local/cuda/lib64"]]
    # What only a library that is not here offers stays open, and is never called.
    open_ends = ["-Wl,--unresolved-symbols=ignore-all", "-Wl,-z,lazy", "-lpthread", "-ldl", "-lrt", "-lm"]
    link(["g++", "-shared", "-o", os.path.join(to, "tensair-cuda.so"), *(o for t in PLUGIN for o in made.get(t, [])),
          *house, *paths, "-l:libcudnn.so.9", "-l:libcublasLt.so.13", "-lcudart_static", *open_ends], "tensair-cuda.so")
    for name in BENCHES:
        target = f"gpu_bench_{name}"
        if made.get(target):
            link(["gcc", "-rdynamic", "-o", os.path.join(to, target), *made[target], *house, *open_ends], target)
    for path in glob.glob(os.path.join(to, "*.[oa]")):
        os.remove(path)


if __name__ == "__main__":
    {"collect": collect, "build": build}[sys.argv[1]](sys.argv[2], sys.argv[3])
