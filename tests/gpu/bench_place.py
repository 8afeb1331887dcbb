"""Where things are on this machine: programs, vendor's libraries, the device, and which versions. Part of run.sh."""
import ctypes
import glob
import os
import platform
import re
import site
import subprocess
import sys

VENDOR = ("libcudnn.so.9", "libcublasLt.so.13", "libnccl.so.2", "libnvrtc.so.13")
TOOLKIT = ("/usr/local/cuda/lib64", "/usr/local/cuda/lib")


def vendor_folders():
    """Where cuDNN, cuBLASLt, NCCL and NVRTC lie: Python's wheels, else the toolkit; the system's own need no path."""
    roots = [*site.getsitepackages(), site.getusersitepackages(), *(p for p in sys.path if p.endswith("-packages"))]
    folders = [f for root in dict.fromkeys(roots) for f in sorted(glob.glob(os.path.join(root, "nvidia", "*", "lib")))]
    found = []
    for library in VENDOR:
        here = next((f for f in [*folders, *TOOLKIT] if os.path.exists(os.path.join(f, library))), None)
        if here and here not in found:
            found.append(here)
    return found


def capture(*command, seconds=20, env=None):
    """Standard output, or "" where that did not work."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=seconds,
                              check=False, env=env)
        return done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


class Device:
    """The first GPU, as the driver says; `why` is told where there is none."""

    def __init__(self):
        self.why, self.about = "", {}
        try:
            cuda = ctypes.CDLL("libcuda.so.1")
        except OSError:
            self.why = "no driver: libcuda.so.1 cannot be loaded"
            return
        code, n, version = cuda.cuInit(0), ctypes.c_int(0), ctypes.c_int(0)
        if code == 0:
            code = cuda.cuDeviceGetCount(ctypes.byref(n))
        if code != 0 or n.value == 0:
            self.why = f"the driver shows no GPU (CUDA error {code})"
            return
        cuda.cuDriverGetVersion(ctypes.byref(version))
        said = capture("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        name, handle, total = ctypes.create_string_buffer(128), ctypes.c_int(0), ctypes.c_size_t(0)
        cuda.cuDeviceGet(ctypes.byref(handle), 0)
        cuda.cuDeviceGetName(name, 128, handle)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(total), handle)
        self.about = {"name": name.value.decode(), "gpus": n.value, "bytes": total.value,
                      "driver": said.split("\n")[0],
                      "driver_cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}


def library_version(name, function, folders, by_pointer):
    for folder in [*folders, ""]:
        try:
            library = ctypes.CDLL(os.path.join(folder, name))
        except OSError:
            continue
        call, number = getattr(library, function), ctypes.c_int(0)
        if by_pointer:
            call(ctypes.byref(number))
            return number.value
        call.restype = ctypes.c_size_t
        return call()
    return None


def versions(python, folders):
    """Each looked at in a process of its own: libraries of this size may not be told to leave again."""
    script = ("import sys; sys.path.insert(0, sys.argv[1]); import bench_place as p; "
              "print(p.library_version(sys.argv[2], sys.argv[3], sys.argv[5:], sys.argv[4] == 'pointer'))")
    here = os.path.dirname(os.path.abspath(__file__))
    env = {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, os.environ.get("LD_LIBRARY_PATH", "")]).strip(":")}
    found = {name: capture(python, "-c", script, here, *what, *folders, env=env) or None for name, what in {
        "cudnn": ("libcudnn.so.9", "cudnnGetVersion", "value"), "nccl": ("libnccl.so.2", "ncclGetVersion", "pointer"),
        "cublaslt": ("libcublasLt.so.13", "cublasLtGetVersion", "value")}.items()}
    said = capture("nvcc", "--version") or capture("/usr/local/cuda/bin/nvcc", "--version")
    nvcc = re.search(r"release ([0-9.]+)", said)
    return {**found, "nvcc": nvcc.group(1) if nvcc else None, "python": platform.python_version(),
            "torch": capture(python, "-c", "import torch; print(torch.__version__)", seconds=90) or None}


def machine():
    names = []
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": names[0] if names else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(), "libc": " ".join(platform.libc_ver())}


class Place:
    """Programs and how they are started."""

    def __init__(self, programs, libraries, plugins, make_believe):
        self.programs, self.plugins, self.make_believe = programs, plugins, make_believe
        self.python = sys.executable
        self.vendor = vendor_folders()
        self.tensair = self.program("tensair")
        paths = [libraries, *self.vendor, *os.environ.get("LD_LIBRARY_PATH", "").split(":")]
        self.env = {**os.environ, "LD_LIBRARY_PATH": ":".join(p for p in paths if p), "TENSAIR_PLUGINS": plugins}

    def program(self, name):
        path = os.path.join(self.programs, name)
        return path if os.access(path, os.X_OK) else None

    def real_tests(self):
        return sorted(glob.glob(os.path.join(self.programs, "gpu_*_real")))

    def run(self, *command, seconds, env=None, **more):
        """(exit status, stdout, stderr); status 124: it took longer, and all that it had started was ended."""
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   errors="replace", start_new_session=True, stdin=subprocess.DEVNULL,
                                   env={**self.env, **(env or {})}, **more)
        try:
            out, err = process.communicate(timeout=max(0.1, seconds))
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            return 124, out, err + f"\nnot done within {seconds:.0f} s"
