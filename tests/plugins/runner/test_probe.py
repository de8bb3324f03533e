"""Finding out whether programs can be isolated, and who may run where they cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gome.kernel.errors import SandboxUnavailable
from gome.plugins.runner.sandbox import plan, plugin
from gome.plugins.runner.sandbox.devices import machine
from gome.plugins.runner.sandbox.probe import attempt, probe
from tests.stranger import as_stranger


def test_a_sandbox_can_be_made_here() -> None:
    report = probe()
    assert report.kind in ("namespaces", "bubblewrap"), f"{report.detail}. Try: {report.advice}"
    assert report.advice == ""
    assert bool(report.cgroup) != bool(report.cgroup_problem)


def test_the_doctor_is_told_about_sandbox_memory_and_devices() -> None:
    assert plugin.checks is not None
    lines = {line.name: line for line in plugin.checks()}
    assert lines["sandbox"].ok
    assert "cores" in lines["cpu"].detail
    assert "memory limit" in lines


def test_devices_count_the_cores_we_may_use() -> None:
    found = machine()
    assert found.cores == len(os.sched_getaffinity(0)) <= found.of
    assert found.memory_mb > 100


def test_a_failing_sandbox_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "mounts", lambda *_: [("ro", "/nowhere", "/usr", "")])
    assert "mount /nowhere" in attempt("namespaces")


@pytest.mark.anyio
async def test_without_a_sandbox_unknown_programs_are_refused(bench: Any) -> None:
    bench.settings["isolation"] = "none"
    with pytest.raises(SandboxUnavailable, match=r"needs a sandbox.*gome doctor"):
        await bench.run("pass", trusted=True, renderer="r")


@pytest.mark.anyio
@pytest.mark.parametrize("changed", [{"trusted": False}, {"renderer": "other"}])
async def test_a_claim_of_trust_is_checked_against_the_log(bench: Any, changed: dict[str, Any]) -> None:
    bench.settings["isolation"] = "none"
    bench.vouch("pass")
    with pytest.raises(SandboxUnavailable):
        await bench.run("pass", **{"trusted": True, "renderer": "r", **changed})


@pytest.mark.anyio
async def test_a_rendered_program_runs_without_a_sandbox_and_says_so_once(
    bench: Any, outputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gome.plugins.runner.sandbox.trust._noticed", set())
    bench.settings["isolation"] = "none"
    program = f"{outputs}\nimport os\nprint(open('input/train.csv').readline(), os.getcwd(), os.environ['GOME_SEED'])"
    bench.vouch(program)
    with capture_logs() as logs:
        done = await bench.run(program, trusted=True, renderer="r")
        await bench.run(program, trusted=True, renderer="r", id="d" * 32)
    assert done.ok, done.error
    assert str(done.stdout).split() == ["id,x,y", "/work", "7"]
    assert len([line for line in logs if "WITHOUT a sandbox" in line["event"]]) == 1
    assert bench.store.get(bench.inputs["train.csv"].digest).startswith(b"id,x,y")


@pytest.mark.anyio
async def test_without_a_sandbox_limits_hold_and_the_tree_is_killed(bench: Any) -> None:
    bench.settings["isolation"] = "none"
    bench.unsafe = True
    marker = f"gome-unboxed-{os.getpid()}"
    done = await bench.run(
        f"""
        import os, subprocess, sys, time
        if os.fork() == 0:
            os.setsid()
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{marker}"])
            os._exit(0)
        time.sleep(600)
        """,
        limits=msgspec.structs.replace(bench.limits, seconds=0.7),
    )
    assert done.failure == "time"
    alive = [p for p in Path("/proc").glob("[0-9]*/cmdline") if marker.encode() in _bytes(p)]
    assert alive == []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


SCRIPT = """
import importlib.util, json, pathlib, sys, anyio
spec = importlib.util.spec_from_file_location("bench_of_tests", sys.argv[2])
module = importlib.util.module_from_spec(spec); sys.modules[spec.name] = module; spec.loader.exec_module(module)
bench = module.make_bench(pathlib.Path(sys.argv[1]))
bench.settings["isolation"] = sys.argv[3]
program = module.OUTPUTS + '''
import ctypes, json, os, socket
def attempt(what):
    try: return what()
    except Exception as error: return type(error).__name__
libc = ctypes.CDLL(None)
print(json.dumps([os.listdir("/work"), attempt(lambda: os.listdir("/home")), attempt(lambda: os.listdir("/var")),
    [n for n in os.listdir("/proc") if n.isdigit()], attempt(lambda: open("/work/input/train.csv", "w")),
    attempt(lambda: socket.create_connection(("127.0.0.1", 1), 1)), libc.unshare(0x10000000),
    [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")]]))
'''
from gome.plugins.runner.sandbox.probe import probe
report = probe(sys.argv[3])
if report.kind == "none":
    print(json.dumps([report.detail])); sys.exit()
async def main():
    limits = module.Limits(seconds=0.4, memory_mb=512, processes=64)
    good = await bench.run(program)
    slow = await bench.run("import time; time.sleep(600)", id="c" * 32, limits=limits)
    bomb = await bench.run("import os, signal\\nwhile True:\\n  if os.fork() == 0: signal.pause()", id="d" * 32)
    print(json.dumps([report.kind, good.ok, good.error, json.loads(str(good.stdout)), slow.failure, bomb.failure]))
anyio.run(main)
"""


@pytest.fixture
def stranger() -> Iterator[list[str]]:
    """A command that runs Python as an ordinary user."""
    with as_stranger() as command:
        yield command


@pytest.mark.parametrize("isolation", ["namespaces", "bubblewrap"])
def test_an_ordinary_user_gets_the_same_sandbox(stranger: list[str], isolation: str) -> None:
    if isolation == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    folder = Path(tempfile.mkdtemp(prefix="gome-as-user-"))
    try:
        folder.chmod(0o777)
        conftest = str(Path(__file__).with_name("conftest.py"))
        done = subprocess.run(
            [*stranger, "-c", SCRIPT, str(folder), conftest, isolation], capture_output=True, text=True, timeout=60
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if len(found) == 1:
        pytest.skip(f"this kernel gives an ordinary user no namespaces: {found[0]}")
    kind, ok, error, seen, slow, bomb = found
    assert (kind, ok, error) == (isolation, True, "")
    files, home, var, pids, write, connect, userns, caps = seen
    assert set(files) == {"program.py", "input", "oof.csv", "submission.csv"}
    assert home in ("FileNotFoundError", []) and var == "FileNotFoundError"
    assert pids == ["1", "2"]
    assert (write, userns) == ("OSError", -1)
    # Without a filter of system calls, bubblewrap's own loopback interface answers: nobody listens.
    assert connect in ("OSError", "ConnectionRefusedError")
    assert [int(cap, 16) for cap in caps] == [0]
    assert (slow, bomb) == ("time", "killed")
