"""Limits of a real execution, and that nothing survives it, however it is ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

pytestmark = pytest.mark.anyio

SLEEP = "import time; time.sleep(600)"


def limited(bench: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(bench.limits, **changes)


def launcher_of(bench: Any) -> int:
    """Process id of the launcher of the bench's only execution."""
    (found,) = bench.home.glob("work/*/process.json")
    return int(json.loads(found.read_bytes())["pid"])


def gone(pid: int) -> bool:
    """Wait until a process has ended; False when it does not in ten seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("cgroups", [True, False])
async def test_a_memory_hog_is_stopped(bench: Any, cgroups: bool) -> None:
    bench.settings["cgroups"] = cgroups
    done = await bench.run(
        """
        held = []
        while True:
            held.append(bytearray(8 << 20))
        """,
        limits=limited(bench, memory_mb=120),
    )
    assert (done.ok, done.failure) == (False, "memory")
    assert done.peak_mb > 50
    assert "120 MB" in done.error


async def test_memory_of_all_children_counts(bench: Any) -> None:
    bench.settings["cgroups"] = False
    done = await bench.run(
        """
        import os, signal
        for _ in range(4):
            if os.fork() == 0:
                held = bytearray(120 << 20)
                signal.pause()
        signal.pause()
        """,
        limits=limited(bench, memory_mb=150),
    )
    assert done.failure == "memory"


async def test_shared_memory_counts_once(bench: Any, outputs: str) -> None:
    bench.settings["cgroups"] = False
    done = await bench.run(
        f"""{outputs}
import os
held = bytearray(60 << 20)
children = []
r, w = os.pipe()
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    children.append(pid)
import time
time.sleep(0.3)
os.close(w)
for pid in children: os.waitpid(pid, 0)
""",
        limits=limited(bench, memory_mb=450),
    )
    assert done.ok, done


async def test_a_sleeper_is_stopped_by_the_clock(bench: Any) -> None:
    done = await bench.run(f"print('here', flush=True)\n{SLEEP}", limits=limited(bench, seconds=0.4))
    assert (done.ok, done.failure, done.signal) == (False, "time", signal.SIGKILL)
    assert str(done.stdout) == "here\n"
    assert done.seconds >= 0.4


async def test_what_is_left_of_the_run_cuts_the_limit(bench: Any, make_event: Any) -> None:
    from gome.events import ExecutionRequested, Text
    from gome.plugins.runner.sandbox.perform import perform

    intent = ExecutionRequested(
        attempt="a1", purpose="full", program=Text.of(SLEEP), inputs=bench.inputs, limits=bench.limits
    )
    event = make_event(intent)
    done = (await perform(event, bench.context(event, deadline=0.3))).payload
    assert getattr(done, "failure", "") == "time"


async def test_many_megabytes_of_output_are_capped_and_both_ends_kept(bench: Any, outputs: str) -> None:
    bench.settings["stream_mb"] = 1
    bench.settings["keep"] = True
    done = await bench.run(
        f"""{outputs}
print("first")
for _ in range(300): print("x" * 100_000)
print("last")
"""
    )
    text = str(done.stdout)
    assert done.ok
    assert text.startswith("first\n") and text.endswith("last\n") and "bytes left out" in text
    assert len(text) < 70_000
    (file,) = bench.home.glob("work/*/stdout")
    data = file.read_bytes()
    assert len(data) < (1 << 20) + 100 and data.endswith(b" bytes left out \xe2\x80\xa6]\n")
    stored = done.streams["stdout.txt"]
    assert set(done.streams) == {"stdout.txt"} and bench.store.get(stored.digest) == data
    assert (stored.size, stored.media) == (len(data), "text/plain")


async def test_short_output_is_shown_whole_and_stored_nowhere_else(bench: Any, outputs: str) -> None:
    done = await bench.run(f"{outputs}\nprint('x' * 60_000)")
    assert done.ok and done.streams == {} and len(str(done.stdout)) == 60_001


async def test_score_lines_in_the_middle_of_long_output_are_not_lost(bench: Any, outputs: str) -> None:
    done = await bench.run(
        f"""{outputs}
for k in range(5):
    for _ in range(30): print("x" * 10_000)
    print(f"Fold {{k}} rmse: 0.{{k}}123", flush=True)
for _ in range(30): print("x" * 10_000)
"""
    )
    text = str(done.stdout)
    assert text.count("lines of them that report scores") == 1
    at = [text.index(f"Fold {k} rmse: 0.{k}123") for k in range(5)]
    assert at == sorted(at) and len(text) < 80_000


async def test_the_exception_that_ended_a_program_is_data_without_paths_of_this_machine(bench: Any) -> None:
    done = await bench.run("import json\ndef f(): json.loads('{')\nf()")
    assert (done.failure, done.exception) == ("data", "JSONDecodeError")
    assert 'File "json/decoder.py", line ' in done.traceback and "JSONDecodeError: Expecting" in done.traceback
    assert str(bench.home) not in done.traceback and "site-packages" not in done.traceback
    ended = await bench.run("import sys\nsys.exit(3)", id="b" * 32)
    assert (ended.failure, ended.exception, ended.traceback) == ("contract", "", "")


async def test_output_that_is_no_text_is_still_recorded(bench: Any, outputs: str) -> None:
    done = await bench.run(f"{outputs}\nimport sys\nsys.stdout.buffer.write(bytes(range(256)))")
    assert done.ok
    msgspec.json.encode(done)


async def test_one_file_too_large_fails_to_be_written(bench: Any) -> None:
    done = await bench.run("open('big', 'wb').write(bytes(40 << 20))", limits=limited(bench, disk_mb=16))
    assert (done.failure, done.ok) == ("killed", False)
    assert "File too large" in done.error


async def test_many_files_are_too_large_together(bench: Any) -> None:
    done = await bench.run(
        f"for i in range(8): open(f'f{{i}}', 'wb').write(bytes(4 << 20))\n{SLEEP}", limits=limited(bench, disk_mb=16)
    )
    assert done.failure == "killed"
    assert "16 MB" in done.error


async def test_calling_off_an_execution_stops_it_and_leaves_no_manifest(bench: Any) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    bench.cancelled = cancelled
    done = await bench.run(SLEEP)
    assert (done.ok, done.failure) == (False, "cancelled")
    assert not list(bench.home.glob("work/*/manifest.json"))
    assert gone(launcher_of(bench))


async def test_cancelling_the_task_kills_the_whole_tree(bench: Any, tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run, SLEEP)
        children: list[int] = []
        with anyio.fail_after(10):
            while not children:
                await anyio.sleep(0.01)
                children = descendants(bench)
        tasks.cancel_scope.cancel()
    assert all(gone(pid) for pid in children)


def descendants(bench: Any) -> list[int]:
    """The launcher, its inner process and the program, once all three are there."""
    from gome.plugins.runner.sandbox import usage

    try:
        launcher = launcher_of(bench)
    except (ValueError, OSError):
        return []
    below = usage.descendants(launcher)
    return [launcher, *below] if len(below) >= 2 else []


def test_killing_gome_kills_the_sandbox(tmp_path: Path) -> None:
    """A gome in another process is killed -9; the kernel must do the rest."""
    script = f"""
import importlib.util, pathlib, anyio
spec = importlib.util.spec_from_file_location("bench_of_tests", {str(Path(__file__).with_name("conftest.py"))!r})
import sys
module = importlib.util.module_from_spec(spec); sys.modules[spec.name] = module; spec.loader.exec_module(module)
bench = module.make_bench(pathlib.Path({str(tmp_path)!r}))
anyio.run(bench.run, {SLEEP!r})
"""
    gome = subprocess.Popen([sys.executable, "-c", script])
    try:
        bench = SimpleNamespace(home=tmp_path / "home")
        tree: list[int] = []
        while not tree:
            assert gome.poll() is None, "it ended by itself"
            tree = descendants(bench)
            time.sleep(0.01)
    finally:
        gome.kill()
        gome.wait()
    assert len(tree) >= 3
    assert all(gone(pid) for pid in tree)


async def test_killing_the_launcher_kills_the_program_and_is_reported(bench: Any) -> None:
    results = []

    async def run() -> None:
        results.append(await bench.run(SLEEP))

    tree: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(10):
            while not tree:
                await anyio.sleep(0.01)
                tree = descendants(bench)
        os.kill(tree[0], signal.SIGKILL)
    assert [r.failure for r in results] == ["killed"]
    assert all(gone(pid) for pid in tree)


async def test_a_finished_execution_is_collected_not_repeated(bench: Any, outputs: str) -> None:
    program = f"{outputs}\nimport time\nprint(time.time_ns())"
    first = await bench.run(program)
    again = await bench.run(program)
    other = await bench.run(program, id="c" * 32)
    assert again == first
    assert other.stdout != first.stdout


async def test_a_finished_result_survives_with_all_that_is_known_of_it(bench: Any) -> None:
    program = "print('x' * 300_000)\nimport time\nprint(time.time_ns())\n{}['k']"
    first = await bench.run(program, purpose="debug")
    assert first.exception == "KeyError" and first.traceback and first.streams
    assert await bench.run(program, purpose="debug") == first


@pytest.mark.parametrize("missing", ["exception", "streams", "estimated_seconds", "warm", "attempt"])
async def test_a_result_left_by_an_older_version_is_collected_if_it_says_enough(
    bench: Any, outputs: str, missing: str
) -> None:
    program = f"{outputs}\nimport time\nprint(time.time_ns())"
    first = await bench.run(program)
    (path,) = bench.home.glob("work/*/manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["result"][missing]
    manifest["result"]["of_a_later_version"] = 1
    path.write_text(json.dumps(manifest))
    again = await bench.run(program)
    assert (again.stdout == first.stdout) == (missing != "attempt")
    assert again.attempt == first.attempt and again.ok


async def test_leftovers_of_a_crashed_attempt_are_wiped(bench: Any, outputs: str) -> None:
    folder = bench.home / "work" / ("a" * 8)
    (folder / "box" / "locked").mkdir(parents=True)
    (folder / "box" / "locked" / "file").write_text("old")
    (folder / "box" / "locked").chmod(0)
    (folder / "box" / "oof.csv").write_text("old")
    (folder / "manifest.json").write_text('{"half":')
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        # Same id, but born at another time: not ours, so not to be killed.
        (folder / "process.json").write_text(json.dumps({"pid": bystander.pid, "started": "boot/1"}))
        done = await bench.run("import os\nprint(*os.listdir())")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    left = set(str(done.stdout).split())
    assert {"input", "program.py"} <= left and not {"locked", "oof.csv"} & left
    assert done.failure == "contract"


async def test_a_survivor_of_a_crashed_attempt_is_killed(bench: Any) -> None:
    from gome.plugins.runner.sandbox import usage

    folder = bench.home / "work" / ("a" * 8)
    folder.mkdir(parents=True)
    survivor = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (folder / "process.json").write_text(json.dumps({"pid": survivor.pid, "started": usage.started(survivor.pid)}))
    await bench.run("pass")
    assert survivor.wait() == -signal.SIGKILL
