"""tensair doctor: text and JSON say the same; what is lowered, hidden or misspelt is found, and comes with a cure."""
import ctypes
import json
import os
import pty
import resource
import subprocess

from harness import TENSAIR, Place, check, contains

SECTIONS = ["program", "configuration", "identity", "CPU", "memory", "RDMA", "GPU", "network", "system", "transports",
            "words"]
STATES = {"ok", "note", "missing", "wrong"}
OTHERS = ("SLURM_", "TENSAIR_N", "TENSAIR_R", "TENSAIR_W", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
          "PMI", "OMPI_", "NO_COLOR")
PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14
libc = ctypes.CDLL(None)


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(OTHERS)}
    return {**clean, **more}


def doctor(*arguments, expect=0, quick=True, prefix=(), cwd=None, limits=None, **variables):
    command = [*prefix, TENSAIR, "doctor", *(["--quick"] if quick else []), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=100, cwd=cwd,
                          env=environment(**variables), preexec_fn=limits)
    if expect is not None:
        check(done.returncode == expect,
              f"{arguments}: exit status {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
    return done


def findings(*arguments, expect=0, **more):
    done = doctor("--json", *arguments, expect=expect, **more)
    found = json.loads(done.stdout)
    check([] == [l for l in done.stderr.splitlines() if not l.startswith("tensair doctor: ")], done.stderr)
    wrong = [f for f in found if f["state"] == "wrong"]
    check(expect is None or bool(wrong) == (expect != 0), f"{arguments}: exit status {expect}, and wrong are {wrong}")
    return found


def the(found, section, name):
    same = [f for f in found if f["section"] == section and f["name"] == name]
    check(len(same) == 1, f"{len(same)} findings {section}/{name}: {same}")
    return same[0]


def lines_of(found):
    """The text that says the same."""
    section = None
    for f in found:
        if f["section"] != section:
            section = f["section"]
            yield section
        yield f"  {f['state']:<8} {f['name']:<22} {f['value']}"
        if f["cure"] is not None:
            yield f"  {'':<8} {'':<22} -> {f['cure']}"


def text_and_json_agree():
    folder = Place()
    before = sorted(os.listdir(folder.path))
    found = findings(cwd=folder.path, quick=False)
    for f in found:
        check(set(f) == {"section", "name", "state", "value", "cure"}, f"keys: {f}")
        check(f["state"] in STATES and f["name"] and f["value"], f"empty: {f}")
        check(f["cure"] is None or len(f["cure"]) > 5, f"no cure: {f}")
        check(f["state"] != "wrong" or f["cure"], f"wrong, and no cure: {f}")
    sections = list(dict.fromkeys(f["section"] for f in found))
    check(sections == SECTIONS, f"sections: {sections}")
    words = the(found, "words", "shm")
    check(words["state"] == "ok", f"{words}")
    contains(words["value"], "torn: 0 words of 4 bytes, 0 of 8; behind their header: 0 words, 0 of the header")

    found = findings(cwd=folder.path)
    text = doctor(cwd=folder.path).stdout
    check("\033" not in text, "colours outside a terminal")
    got = [l for l in text.splitlines() if l]
    want = list(lines_of(found))
    moving = ("total", "/dev/shm", "current folder", "needed")  # bytes free change meanwhile
    for g, w in zip(got, want):
        check(g == w or any(f" {m} " in w and g[:34] == w[:34] for m in moving), f"text:\n{g}\nJSON:\n{w}")
    counts = {s: sum(f["state"] == s for f in found) for s in STATES}
    last = f"{counts['ok']} ok, {counts['note']} notes, {counts['missing']} missing, {counts['wrong']} wrong"
    check(got[len(want):] == [last], f"the last lines: {got[len(want):]}, not {last}")
    check(sorted(os.listdir(folder.path)) == before, "the doctor has left something behind")
    check(the(found, "words", "shm")["state"] == "note", "what was not tested must not be called ok")


def on_a_terminal(**variables):
    master, slave = pty.openpty()
    process = subprocess.Popen([TENSAIR, "doctor", "--quick"], stdout=slave, stderr=subprocess.DEVNULL,
                               env=environment(TERM="xterm", **variables))
    os.close(slave)
    text = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            break
        if not more:
            break
        text += more
    os.close(master)
    process.wait(timeout=60)
    return text.decode()


def colours():
    contains(on_a_terminal(), "\033[32mok", "\033[1mprogram")
    check("\033" not in on_a_terminal(NO_COLOR="1"), "colours in spite of NO_COLOR")


def without_lock_capability(soft, hard):
    def lower():
        libc.prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)  # root would not be limited; others have none to drop
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    return lower


def limits():
    place = Place()
    place.write("large.yaml", place_config(units=1000))
    files = findings(limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)), expect=69)
    f = the(files, "system", "open files")
    check(f["state"] == "wrong", f"{f}")
    contains(f["value"] + f["cure"], "limit 40, hard limit 40", "68", "ulimit -n 68")

    # (3 inboxes + the register) of a million parameters: about 16 MB; and 256 KiB of it may be locked.
    small = 256 * 1024
    mine = [place.at("large.yaml"), "-n", 4]
    f = the(findings(*mine, limits=without_lock_capability(small, small), expect=0), "memory", "memlock")
    check(f["state"] == "note", f"shm locks nothing: {f}")
    over = [*mine, "--set", "transport.type=verbs"]
    f = the(findings(*over, limits=without_lock_capability(small, small), expect=69), "memory", "memlock")
    check(f["state"] == "wrong", f"{f}")
    contains(f["value"] + f["cure"], "limit 256 KiB", "MiB", "limits.conf", "PropagateResourceLimits", "LimitMEMLOCK")
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    least = 4 * 4 * 1000 * 1000 // 1024
    if hard == resource.RLIM_INFINITY or hard > 2 * 1024 * least:
        f = the(findings(*over, limits=without_lock_capability(small, hard), expect=69), "memory", "memlock")
        kib = int(f["cure"].split("ulimit -l ")[1].split()[0])
        check(least < kib < 2 * least, f"{kib} KiB where the model needs {least}: {f}")
    pinned = findings(*mine, limits=lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]))
    contains(the(pinned, "CPU", "cores wanted")["value"], "4 replicas of 1 threads share 1 ")


def place_config(units):
    return f"""\
run: {{seed: 7}}
stream: {{generator: sea, batch: 16}}
model:
  loss: cross_entropy
  layers:
    - {{type: dense, units: {units}, activation: relu}}
    - {{type: dense, units: {units}, activation: relu}}
    - {{type: dense, units: 2, activation: softmax}}
"""


def configurations():
    place = Place(place_config(units=8))
    config = place.at("run.yaml")
    found = findings(config, "-n", 2)
    contains(the(found, "configuration", "model")["value"], f"{3 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2} parameters")
    contains(the(found, "configuration", "replicas")["value"], "2, 2 on a node")
    contains(the(found, "transports", "2 replicas, 1 node")["value"], "transport shm")
    contains(the(findings(config), "transports", "1 replica, 1 node")["value"], "transport self")
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "6",
            "SLURM_STEP_NUM_NODES": "1"}
    of_job = findings(config, **step)
    contains(the(of_job, "transports", "6 replicas, 1 node")["value"], "transport shm")
    of_file = findings(config, "--set", "run.replicas=2", **step)
    contains(the(of_file, "transports", "2 replicas, 1 node")["value"], "transport shm")
    if not os.path.isdir("/sys/class/infiniband") or not os.listdir("/sys/class/infiniband"):
        found = findings(config, "--set", "transport.type=verbs", expect=69)
        check(the(found, "transports", "verbs")["state"] == "wrong", "verbs is asked for, and there is no device")
        check(the(found, "transports", "shm")["state"] == "ok", "shm works whatever is asked for")
    if not os.path.exists("/dev/nvidiactl"):
        found = findings(config, "--set", "device.type=cuda", expect=69)
        check(the(found, "GPU", "GPUs")["state"] == "wrong", "cuda is asked for, and there is no GPU")
    wrong = [
        ([config, "--set", "stream.bach=3"], 2, ["bach", "batch"]),
        ([config, "--set", "transport.type=pigeon"], 2, ["pigeon", "shm"]),
        ([config, "--set"], 2, ["--set"]),
        (["--set", "a=b"], 2, ["configuration file"]),
        ([config, "other.yaml"], 2, ["other.yaml"]),
        ([config, "-n", "0"], 2, ["-n 0"]),
        ([config, "-n", "3", "--nodes", "2"], 2, ["3", "2", "multiple"]),
        (["--nodes", "2", "--node", "2"], 2, ["--node 2"]),
        (["--node", "0"], 2, ["--node 0"]),
        (["--everything"], 2, ["--everything"]),
        ([place.at("missing.yaml")], 74, ["missing.yaml"]),
    ]
    for arguments, code, parts in wrong:
        done = doctor(*arguments, expect=code)
        check(done.stdout == "" and len(done.stderr.splitlines()) == 1, f"{arguments}:\n{done.stdout}\n{done.stderr}")
        contains(done.stderr, "tensair doctor: ", *parts)
    done = doctor(config, "--set", "model.layers[2].units=3", "--json", expect=2)
    f = the(json.loads(done.stdout), "configuration", "model")
    check(f["state"] == "wrong", f"a model of 3 outputs for 2 classes: {f}")
    contains(f["cure"], "3", "2")
    check("model" in done.stderr, done.stderr)
    contains(doctor("--help").stdout, "--json", "--quick", "Exit status")


def identities():
    def say(expect=0, arguments=(), **variables):
        return the(findings(*arguments, expect=expect, **variables), "identity", "identity")
    contains(say()["value"], "neither flags nor the environment")
    contains(say(RANK="1", WORLD_SIZE="4", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2", SLURM_PROCID="9")["value"],
             "torchrun (RANK) decides: launcher 1 of 4, local rank 1 of 2")
    script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NUM_NODES": "4", "SLURM_JOB_ID": "77",
              "SLURM_JOB_NODELIST": "n[1-4]"}
    step = dict(script, SLURM_STEP_ID="0", SLURM_STEP_NUM_TASKS="8", SLURM_STEP_NUM_NODES="4", SLURM_PROCID="3",
                SLURM_STEP_NODELIST="n[1-4]", SLURM_STEP_TASKS_PER_NODE="2(x4)", SLURM_LOCALID="1", SLURM_GTIDS="2,3")
    contains(say(**step)["value"], "srun (SLURM_PROCID) decides: launcher 3 of 8, local rank 1 of 2")
    job = the(findings(**step), "identity", "job")
    check(job["state"] == "ok" and "job 77, restart 0, on 4 nodes n[1-4]" in job["value"], f"inside a step: {job}")
    contains(say(**script)["value"], "neither flags nor the environment")  # a batch script is alone
    job = the(findings(**script), "identity", "job")
    check(job["state"] == "note" and "batch script" in job["value"], f"inside a batch script: {job}")
    contains(say(TENSAIR_NODE="1", TENSAIR_NODES="2", **step)["value"], "TENSAIR_NODES decides: launcher 1 of 2")
    contains(say(arguments=["--nodes", 3, "--node", 2], **step)["value"], "flags decide: node 2 of 3")
    for rank, size in (("8", "8"), ("1", ""), ("99999999999999999999", "8")):
        f = say(expect=69, TENSAIR_NODE=rank, TENSAIR_NODES=size)
        contains(f["value"], f"TENSAIR_NODE={rank}")
        check(f["state"] == "wrong", f"{f}")
    # Bytes that are no UTF-8 must not spoil the JSON.
    f = say(expect=69, TENSAIR_NODE=b"\xff\xfe\033[31m".decode("utf-8", "surrogateescape"), TENSAIR_NODES="2")
    check("\033" not in f["value"], f"{f}")


def apart(then, *more):
    """A prefix that runs a command behind other mounts than this machine's."""
    return ["unshare", "--user", "--map-root-user", "--mount", *more, "sh", "-c", f'{then} && exec "$0" "$@"']


def can_be_hidden():
    for prefix in (apart("mount -t tmpfs none /sys"), apart("true", "--pid", "--fork")):
        if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            print("not tried: hidden and disguised devices (this machine gives no user namespaces)")
            return False
    return True


def hidden():
    """A machine that shows nothing of itself still gets a whole report."""
    places = {
        "no /sys": apart("mount -t tmpfs none /sys"),
        "no /proc": apart("mount -t tmpfs none /proc"),
        "another's /proc": apart("true", "--pid", "--fork"),  # as in two containers
    }
    if "sanitizers" in the(findings(), "program", "tensair")["value"]:
        places = {"no /sys": places["no /sys"]}  # sanitizers themselves live on /proc
    for place, prefix in places.items():
        done = doctor("--json", prefix=prefix, expect=0 if place == "no /sys" else 69)
        found = json.loads(done.stdout)
        check(list(dict.fromkeys(f["section"] for f in found)) == SECTIONS, f"{place}: sections are missing")
        broken = [f for f in found if "crashed" in f["value"] or "did not answer" in f["value"]]
        check(not broken, f"{place}: {broken}")
        peers = the(found, "system", "memory of a peer")["state"]
        check(peers == ("ok" if place == "no /sys" else "wrong"), f"{place}: memory of a peer is {peers}")
        if place == "no /sys":
            check(the(found, "system", "clock source")["state"] == "note", "a clock source without /sys")
            check(the(found, "RDMA", "devices")["state"] == "missing", "a device without /sys")


def disguised():
    """Files of /sys and /proc that say what those of other machines do."""
    place = Place()
    place.write("hpet", "hpet\n")
    place.write("never", "always madvise [never]\n")
    place.write("information", "Model: \t\t NVIDIA H200\nIRQ:   \t\t 42\n")
    place.write("version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86\n")
    clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    pages = "/sys/kernel/mm/transparent_hugepage/enabled"
    gpu = "/proc/driver/nvidia/gpus/0000:17:00.0"
    then = [f"mount --bind {place.at('hpet')} {clock}"] if os.path.exists(clock) else []
    then += [f"mount --bind {place.at('never')} {pages}"] if os.path.exists(pages) else []
    then += ["mount -t tmpfs none /proc/driver", f"mkdir -p {gpu}", f"cp {place.at('information')} {gpu}/",
             f"cp {place.at('version')} /proc/driver/nvidia/"]
    found = findings(prefix=apart(" && ".join(then)))
    if os.path.exists(clock):
        f = the(found, "system", "clock source")
        check(f["state"] == "note" and f["value"] == "hpet" and f["cure"], f"{f}")
    if os.path.exists(pages):
        f = the(found, "memory", "huge pages")
        check(f["state"] == "note" and "never" in f["value"] and pages in f["cure"], f"{f}")
    check(the(found, "GPU", "GPU 0000:17:00.0")["value"] == "NVIDIA H200", "the model of a GPU")
    contains(the(found, "GPU", "driver")["value"], "570.86")

    # munge: a socket, and a program that gives a credential, gives none, or never ends.
    socket = "import socket; socket.socket(socket.AF_UNIX).bind('/run/munge/munge.socket.2')"
    os.mkdir(place.at("bin"))
    program = place.write("bin/munge", '#!/bin/sh\n. "$0.does"\n')
    os.chmod(program, 0o755)
    run = apart(f'mount -t tmpfs none /run && mkdir /run/munge && /usr/bin/python3 -c "{socket}"')
    for does, state in (("exit 0", "ok"), ("exit 1", "note"), ("sleep 1000", "note")):
        place.write("bin/munge.does", does)
        f = the(findings(prefix=run, PATH=place.at("bin") + ":" + os.environ["PATH"]), "network", "munge")
        check(f["state"] == state and "/run/munge/munge.socket.2" in f["value"], f"munge that does {does}: {f}")


parts = [text_and_json_agree, colours, limits, configurations, identities]
for part in parts + ([hidden, disguised] if can_be_hidden() else []):
    part()
    print(part.__name__)
