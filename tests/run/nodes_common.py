"""Several "nodes" on one machine: a launcher each, one run directory, puts through shared memory by default."""
import os

from harness import Place, finish

SHM = ("--set", "transport.type=shm")
LONG = ("--set", "run.max_records=2000000000")


class Nodes(Place):
    def node(self, number, nodes, replicas, *arguments, transport=SHM, **more):
        return self.start("-n", replicas, "--nodes", nodes, "--node", number, *transport, *arguments, **more)

    def nodes(self, nodes, replicas, *arguments, **more):
        return [self.node(k, nodes, replicas, *arguments, **more) for k in range(nodes)]

    def run_nodes(self, nodes, replicas, *arguments, expect=0, timeout=120, **more):
        """All of them to the end, with one exit status. Returns what each said: [(stdout, stderr)]."""
        return [finish(p, expect, timeout) for p in self.nodes(nodes, replicas, *arguments, **more)]

    def server(self, run_dir="run"):
        return self.at(run_dir, "rendezvous", "server")

    def serving(self, run_dir="run"):
        return os.path.exists(self.server(run_dir))


class Reader:
    """What a process says on stderr while it runs."""

    def __init__(self, process):
        self.file, self.text = process.stderr, ""

    def said(self, part):
        os.set_blocking(self.file.fileno(), False)
        try:
            self.text += os.read(self.file.fileno(), 65536).decode()
        except BlockingIOError:
            pass
        os.set_blocking(self.file.fileno(), True)
        return part in self.text
