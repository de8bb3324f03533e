"""Runs attacks in the sandbox as whoever starts it; after each one an honest program, and a look at what is left.

`python besieged.py FOLDER CONFTEST`: FOLDER is filled with things worth stealing, CONFTEST is the runner's bench. A job
comes as a line of JSON on standard input (`program`, and what differs from the defaults: `limits`, `settings`, `known`,
`score`), its outcome goes back as a line (see `Outcome` in `conftest.py`). One process serves a whole session of tests.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import json
import os
import random
import resource
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

SECRETS = {
    "OPENAI_API_KEY": "sk-secret-of-the-besieged",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-of-the-besieged",
    "GOME_NATS_PASSWORD": "nats-secret-of-the-besieged",
}

PRELUDE = """
import atexit, errno, json, os
KNOWN = json.loads({known!r})
won, lost = {{}}, {{}}
def trying(what, how):
    try:
        got = how()
    except OSError as error:
        lost[what] = errno.errorcode.get(error.errno, type(error).__name__)
    except Exception as error:
        lost[what] = type(error).__name__
    else:
        if got:
            won[what] = repr(got)[:200]
        else:
            lost[what] = "nothing"
def tell():
    print("\\n" + json.dumps({{"won": won, "lost": lost}}), flush=True)
atexit.register(tell)
"""
"""What every attack begins with: what it may know, and how it says what it has won."""

HONEST = """
import builtins, gc, json, os, random, signal, sys, threading
assert open("input/train.csv").read() == "id,x,y\\n1,10,0.1\\n2,20,0.9\\n"
umask = os.umask(0); os.umask(umask)
print(json.dumps({
    "files": [sorted(os.listdir(folder)) for folder in ("/work", "/work/input", "/tmp", "/dev/shm")],
    "environment": dict(os.environ), "umask": umask, "folder": os.getcwd(), "path": sys.path,
    "builtins": sorted(vars(builtins)), "poison": getattr(json, "poison", None) or getattr(os, "poison", None),
    "numpy": sys.modules.get("numpy") is sys, "collecting": gc.isenabled(), "random": random.random() == KNOWN["drawn"],
    "threads": threading.active_count(), "term": str(signal.getsignal(signal.SIGTERM)),
    "trace": str(sys.gettrace()), "hooks": [len(sys.meta_path), len(sys.path_hooks), sys.excepthook.__name__],
}))
"""
"""What runs after every attack: it must find the world as if it were the first program ever."""


def load(path: str) -> Any:
    """Import the bench from its file."""
    spec = importlib.util.spec_from_file_location("bench_of_attacks", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Treasure:
    """Things that no program may reach: private files, sockets on which we listen."""

    def __init__(self, folder: Path, home: Path) -> None:
        person = folder / "person"
        self.files = {
            "answers": home / "vault" / "answers.csv",
            "log": home / "runs" / "other" / "log",
            "other": home / "work" / "deadbeef" / "box" / "oof.csv",
            "config": home / "config.toml",
            "key": person / ".ssh" / "id_rsa",
            "cloud": person / ".aws" / "credentials",
        }
        for name, path in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"treasure {name}\n")
        self.seen = self.facts()
        self.unix = str(folder / "docker.sock")
        self.abstract = f"\0gome-attacks-{os.getpid()}"
        self.listening = {
            "tcp": socket.create_server(("127.0.0.1", 0)),
            "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "unix": socket.socket(socket.AF_UNIX),
            "abstract": socket.socket(socket.AF_UNIX),
        }
        self.listening["udp"].bind(("127.0.0.1", 0))
        self.listening["unix"].bind(self.unix)
        self.listening["abstract"].bind(self.abstract)
        for name, found in self.listening.items():
            found.setblocking(False)
            if name in ("unix", "abstract"):
                found.listen()

    def facts(self) -> dict[str, Any]:
        """Content and times of the private files."""
        return {n: (p.read_text(), p.stat().st_mtime_ns, p.stat().st_nlink) for n, p in self.files.items()}

    def known(self) -> dict[str, Any]:
        """What an attacker is told, so that its attempts are worth something."""
        ports = {f"{name}_port": self.listening[name].getsockname()[1] for name in ("tcp", "udp")}
        files = {name: str(path) for name, path in self.files.items()}
        return {**files, **ports, "unix": self.unix, "abstract": self.abstract, "secrets": list(SECRETS)}

    def touched(self) -> list[str]:
        """What somebody has changed, and where somebody has knocked."""
        found = [name for name, facts in self.facts().items() if facts != self.seen[name]]
        for name, listener in self.listening.items():
            try:
                listener.recv(10) if name == "udp" else listener.accept()
            except BlockingIOError:
                continue
            found.append(f"{name} socket")
        return found


class Besieged:
    """The bench, its treasure, and the looks before and after."""

    def __init__(self, folder: Path, conftest: str) -> None:
        self.bench = load(conftest).make_bench(folder)
        self.treasure = Treasure(folder, self.bench.home)
        self.numbers = itertools.count(1)
        self.first: dict[bool, dict[str, Any]] = {}

    async def run(self, text: str, job: dict[str, Any], known: dict[str, Any]) -> tuple[Any, str]:
        """Run one program in the sandbox; returns its result and its folder's name."""
        id = f"{next(self.numbers):08x}" + "0" * 24
        self.bench.settings.clear()
        self.bench.settings.update(job.get("settings", {}))
        limits = msgspec.structs.replace(self.bench.limits, **job.get("limits", {}))
        known = {**self.treasure.known(), "gome": os.getpid(), **known}
        text = PRELUDE.format(known=json.dumps(known)) + text
        return await self.bench.run(text, id=id, limits=limits), id[:8]

    async def honest(self, job: dict[str, Any]) -> str:
        """What an honest program finds that the first honest one did not, "" for nothing."""
        settings = {name: job["settings"][name] for name in ("isolation", "start") if name in job["settings"]}
        known = {"drawn": random.Random(0).random()}  # what the first draw is after `random.seed(0)`
        done, _ = await self.run(HONEST, {"settings": settings}, known)
        if done.exit_code or done.failure != "contract":
            return f"{done.failure}: {done.error}"
        found = json.loads(str(done.stdout).split('{"won"')[0])
        first = self.first.setdefault(done.warm, found)
        return "; ".join(f"{name} is {found[name]}, was {first[name]}" for name in first if found[name] != first[name])

    async def left(self, id: str) -> list[str]:
        """What an execution has left behind that it should not have. Processes that have been killed may take a moment
        to go, and the runner's own helpers (the warm start's) stay."""
        with anyio.move_on_after(5):
            while self.processes() or self.groups():
                await anyio.sleep(0.01)
        found = [f"process {pid}" for pid in self.processes()] + self.groups()
        usual = {"manifest.json", "stdout", "stderr", "report", "process.json", "group.json"}
        found += [f"file {path.name}" for path in (self.bench.home / "work" / id).glob("*") if path.name not in usual]
        return found + [f"touched {name}" for name in self.treasure.touched()]

    @staticmethod
    def groups() -> list[str]:
        """Our cgroups with somebody in them; one just emptied is removed when the next is made."""
        from gome.plugins.runner.sandbox import cgroup

        place = cgroup.find()
        if not isinstance(place, cgroup.Place):
            return []
        found = place.folder.glob(f"gome-{os.getpid()}-*/cgroup.procs")
        return [f"cgroup {path.parent.name}" for path in found if path.read_text().strip()]

    @staticmethod
    def processes() -> list[int]:
        """Processes below us that are in a sandbox, or no more than two helpers of the warm start."""
        from gome.plugins.runner.sandbox import usage

        found, helpers = [], []
        for pid in usage.descendants(os.getpid()):
            try:
                ours = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
                helper = ours and b"zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()
            except FileNotFoundError:
                continue
            except PermissionError:
                helper = False
            if usage.started(pid):
                (helpers if helper else found).append(pid)
        return found if len(helpers) <= 2 else found + helpers

    async def attack(self, job: dict[str, Any]) -> dict[str, Any]:
        """One attack, the honest program after it, the look around."""
        if (job["settings"].get("start", "warm") == "warm") not in self.first:
            await self.honest(job)
        done, id = await self.run(job["program"], job, job.get("known", {}))
        left = await self.left(id)
        said = [line for line in str(done.stdout).splitlines() if line.startswith('{"won"')]
        told = json.loads(said[-1]) if said else {"won": {}, "lost": {}}
        stored = sum(p.stat().st_size for p in self.bench.store.root.rglob("*") if p.is_file())
        return {
            **told,
            "told": bool(said),
            "result": {**msgspec.to_builtins(done), "stdout": str(done.stdout), "stderr": str(done.stderr)},
            "after": await self.honest(job),
            "left": left,
            "stored": stored,
            "secrets": [name for name, value in SECRETS.items() if value in str(done)],
            "score": await anyio.to_thread.run_sync(self.scored, done) if job.get("score") else "",
        }

    def scored(self, done: Any) -> str:
        """What the scorer says of an execution's files, given half a gigabyte; refusals as `layer: reason`."""
        from gome.events import ScoreRequested, SubmissionRejected
        from gome.plugins.scorer.metrics.score import score

        bench = self.bench
        outputs = {name: file for name, file in done.outputs.items() if "/" not in name}
        asked = ScoreRequested(bench.task, "a1", "full", outputs=outputs, folds=bench.inputs["folds.csv"])
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size + (512 << 20), before[1]))
        try:
            found = score(bench.store, asked, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        if isinstance(found, SubmissionRejected):
            return f"{found.layer}: {found.reason}"
        return f"scored {found.score:.4f}"


async def serve(folder: Path, conftest: str) -> None:
    """Answer jobs until standard input ends."""
    besieged = Besieged(folder, conftest)
    from gome.plugins.runner.sandbox import probe

    report = probe.probe(sys.argv[3])
    print(json.dumps({"kind": report.kind, "detail": report.detail}), flush=True)
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        job = json.loads(line)
        job["settings"] = {"isolation": sys.argv[3], **job.get("settings", {})}
        try:
            outcome = await besieged.attack(job)
        except Exception:  # the attack has broken the runner or the scorer: that is its result
            outcome = {"crashed": traceback.format_exc()}
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    if not SECRETS.keys() <= os.environ.keys():  # the kernel shows the environment that a process was started with
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **SECRETS})
    child_subreaper = 36
    ctypes.CDLL(None).prctl(child_subreaper, 1, 0, 0, 0)  # whoever escapes becomes our child and is seen
    anyio.run(serve, Path(sys.argv[1]), sys.argv[2])
