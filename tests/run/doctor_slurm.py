"""The pre-flight of a job, its tasks side by side here: what they find together, and who is missing or misled."""
import json
import os
import signal
import subprocess
import time

from harness import CONFIG, TENSAIR, Place, check, contains, finish

OUTSIDE = ("SLURM", "PMI", "OMPI", "TENSAIR_", "RANK", "WORLD_SIZE", "LOCAL_")


def environment(**more):
    return dict({k: v for k, v in os.environ.items() if not k.startswith(OUTSIDE) and k != "TENSAIR"}, **more)


def task(number, of, directory, *arguments, quick=True, cwd=None):
    command = [TENSAIR, "doctor", "--slurm", "--nodes", of, "--node", number, *(["--quick"] if quick else [])]
    command += ["--run-dir", directory] if directory is not None else []
    return subprocess.Popen([str(c) for c in command + list(arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environment(), cwd=cwd)


def tasks(of, directory, *arguments, expect=0, **more):
    processes = [task(k, of, directory, *arguments, **more) for k in range(of)]
    said = [finish(p, expect, 90) for p in processes]
    check(all(out == "" for out, _ in said[1:]), f"task 0 tells alone: {said[1:]}")
    return said


def the(found, section, name):
    same = [f for f in found if f["section"] == section and f["name"] == name]
    check(len(same) == 1, f"{len(same)} findings {section}/{name}: {found}")
    return same[0]


def agree():
    place = Place()
    before = sorted(os.listdir(place.path))
    found = json.loads(tasks(3, place.path, "--json", quick=False)[0][0])
    contains(the(found, "job", "tasks")["value"], "3 on 3 nodes: node0 node1 node2", "flags")
    contains(the(found, "directory", "locks")["value"], "all 3 nodes: flock holds")
    contains(the(found, "directory", "creation")["value"], "8 were created by one alone")
    contains(the(found, "directory", "renames")["value"], "node1 node2: readers see the old file or the new one")
    contains(the(found, "directory", "new files")["value"], "seen")
    contains(the(found, "directory", "file system")["value"], place.path + ":")
    contains(the(found, "memory", "memlock")["value"], "all 3 nodes:")
    for node in (1, 2):
        check(the(found, "clocks", f"clock of node{node}")["state"] == "ok", f"one clock is not another: {found}")
    for a in range(3):
        for b in range(3):
            check(a == b or "GB/s" in the(found, "puts", f"node{a} to node{b}")["value"], f"{a} to {b}")
    check(sorted(os.listdir(place.path)) == before, f"left behind: {os.listdir(place.path)}")


def text():
    place = Place()
    out = tasks(2, None, cwd=place.path)[0][0]
    contains(out, "job\n", "directory\n", "all 2 nodes", " ok, ", " 0 wrong")
    out = tasks(2, place.at("not", "there", "yet"), quick=False)[0][0]
    contains(out, place.path + ": ", "puts of 1 MiB, GB/s", "node0", "node1")
    other = place.write("other.yaml", CONFIG.replace("seed: 7", f"seed: 7, run_dir: {place.path}"))
    out = tasks(2, None, other)[0][0]
    contains(out, place.path + ": ")
    check(sorted(os.listdir(place.path)) == ["other.yaml", "run.yaml"], f"left behind: {os.listdir(place.path)}")


def not_shared():
    """Two directories of the same name would be: each side says what it misses, and where."""
    a, b = Place(), Place()
    first, second = (task(k, 2, None, "--within", 1, cwd=place.path) for k, place in enumerate((a, b)))
    contains(finish(first, 69)[1], "1 of 2 tasks came to " + a.path, "not these: 1", "all nodes share")
    contains(finish(second, 69)[1], "node1: nothing of task 0 came to " + b.path, "within 1 s", "df " + b.path)
    for place in (a, b):
        check(os.listdir(place.path) == ["run.yaml"], f"left behind: {os.listdir(place.path)}")


def beset():
    """Another doctor at work, what one of a former life left, a task that dies, a directory nobody may write."""
    place = Place()
    first = task(0, 2, place.path, "--within", 30)
    place.wait_for(lambda: os.path.exists(place.at(".doctor-0000000000000000", "server")), first)
    contains(finish(task(0, 2, place.path), None)[2], "another doctor is at work")
    first.kill()
    first.communicate()
    check(os.path.exists(place.at(".doctor-0000000000000000")), "nothing was left: then this shows nothing")
    tasks(2, place.path)
    check(os.listdir(place.path) == ["run.yaml"], f"left behind: {os.listdir(place.path)}")

    processes = [task(k, 3, place.path, "--within", 3) for k in range(3)]
    place.wait_for(lambda: os.path.exists(place.at(".doctor-0000000000000000", "server")), processes[0])
    processes[2].send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    codes = [finish(p, None, 60)[0] for p in processes[:2]]
    processes[2].kill()
    processes[2].communicate()
    check(time.monotonic() - begin < 30, "others wait for ever")
    check(codes in ([69, 69], [0, 0]), f"{codes}")  # all was over before, on a slow day
    if os.geteuid() != 0:
        os.chmod(place.path, 0o500)
        contains(finish(task(0, 1, place.path), 74)[1], place.path)
        os.chmod(place.path, 0o700)


def usage():
    wrong = [
        (("--slurm",), ["srun --ntasks-per-node=1"]),
        (("--slurm", "--nodes", "2"), ["--node K"]),
        (("--slurm", "--nodes", "2", "--node", "2"), ["--node 2"]),
        (("--slurm", "--within", "0"), ["--within 0"]),
        (("--slurm", "--within", "soon"), ["--within soon"]),
        (("--run-dir", "x"), ["--slurm"]),
    ]
    for arguments, parts in wrong:
        done = subprocess.run([TENSAIR, "doctor", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=environment(), timeout=60)
        check(done.returncode == 2 and done.stdout == "", f"{arguments}: {done}")
        contains(done.stderr, *parts)


for part in (agree, text, not_shared, beset, usage):
    part()
    print(part.__name__)
