"""The conformance kit for runners: tiny programs through a runner's `perform`, each a named check.

`conform_runner` is what an author of a runner calls in a test; it is handed on by `gome.kernel.testing`. The programs
use nothing but the standard library and take seconds altogether. What a check is about is the contract of the role in
plugins/README.md; the pure half of a runner is `gome.kernel.testing.conform`'s business. Needs Linux's /proc to see
whether something of a program is still alive.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from gome.events import (
    ExecutionFinished,
    ExecutionRequested,
    Text,
)
from gome.kernel.plugin import Check, Plugin
from gome.kernel.testing_bench import FOREVER, OUTPUTS, Bench, alive, gone, ill, lasting, same, well

LONGEST = 120.0
"""Seconds after which a check has failed, whatever the runner does."""


def conform_runner(
    plugin: Plugin, folder: Path, settings: dict[str, Any] | None = None, *, isolated: bool = True
) -> list[Check]:
    """Run the kit's programs through a runner and say of each whether the contract holds.

    `folder` is an empty folder for the kit's own home, `settings` the plugin's table. With `isolated=False`, for a
    runner that only limits, the checks of what a program can reach and start are left out and the runner is told that
    it may run what nobody vouches for. Returns the checks in order; raises AssertionError for a plugin that is no
    runner at all. Call it outside an event loop:

        assert not [check for check in conform_runner(plugin, tmp_path) if not check.ok]
    """
    performed = {effect.intent: effect for effect in plugin.effects}
    assert plugin.role == "runner", f"{plugin.name} has the role {plugin.role}"
    assert plugin.perform is not None and ExecutionRequested in performed, "it does not perform ExecutionRequested"
    assert performed[ExecutionRequested].policy == "reconcile", "an execution is reconciled after a crash, not repeated"
    bench = Bench(plugin, folder, settings or {}, unsafe=not isolated)
    return [_checked(bench, about, check) for about, check in (CONTRACT | (REACH if isolated else {})).items()]


_Body = Callable[["Bench"], Awaitable[None]]


def _checked(bench: Bench, about: str, check: _Body) -> Check:
    async def in_time() -> None:
        with anyio.fail_after(LONGEST):
            await check(bench)

    try:
        anyio.run(in_time)
    except AssertionError as error:
        return Check(about, False, str(error) or "it does not hold", "see the contract of runners in plugins/README.md")
    except TimeoutError:
        return Check(about, False, f"it took more than {LONGEST:g} s", "an execution ends in time, whatever it does")
    except Exception as error:
        return Check(about, False, f"{type(error).__name__}: {error}", "a program's failure is a result, no exception")
    return Check(about, True, "as it should be")


async def _files(bench: Bench) -> None:
    done = well(
        await bench.run(
            f"""{OUTPUTS}
import json, os
with open("scores.csv", "w") as file: file.write("model,rmse\\nboosted,0.6\\nensemble,0.5\\n")
with open("diagnostics.json", "w") as file: json.dump({{"rounds": 12}}, file)
os.makedirs("members/plain")
with open("members/plain/oof.csv", "w") as file: file.write("id,fold,y\\n1,0,1\\n")
with open("unasked.bin", "w") as file: file.write("x")
""",
            purpose="audit",
            masked_fold=1,
        )
    )
    wanted = {"submission.csv", "oof.csv", "scores.csv", "diagnostics.json", "members/plain/oof.csv"}
    same(set(done.outputs), wanted, "the set of outputs")
    same(bench.store.get(done.outputs["submission.csv"].digest), b"id,y\n3,0.5\n", "submission.csv")
    same(done.diagnostics, {"rounds": 12}, "what diagnostics.json says")


async def _facts(bench: Bench) -> None:
    program = f"{OUTPUTS}\nimport sys\nprint('said')\nprint('warned', file=sys.stderr)\n"
    done = well(await bench.run(program, purpose="audit", masked_fold=1, seed=11, partition=3, attempt="a9"))
    told = (done.attempt, done.purpose, done.masked_fold, done.seed, done.partition)
    same(told, ("a9", "audit", 1, 11, 3), "attempt, purpose, masked fold, seed and partition")
    same(done.program, Text.of(program).digest, "the program's digest")
    same((str(done.stdout).strip(), str(done.stderr).strip()), ("said", "warned"), "output")
    assert done.seconds > 0 and done.versions.get("python"), "seconds or the version of Python are missing"


async def _inputs(bench: Bench) -> None:
    done = well(
        await bench.run(
            f"""{OUTPUTS}
import json
names = {sorted(bench.inputs)!r}
print(json.dumps({{name: open("input/" + name).read() for name in names}}))
for path in ["input/new", *("input/" + name for name in names)]:
    try:
        open(path, "a").write("x")
    except OSError:
        continue
    print("wrote", path)
"""
        )
    )
    first, *wrote = str(done.stdout).splitlines()
    found = {name: bench.store.get(artifact.digest).decode() for name, artifact in bench.inputs.items()}
    same(json.loads(first), found, "what lies in input/")
    # Root may write whatever it likes; where there is no isolation the store's own copy has to be another file.
    assert not wrote or (bench.unsafe and os.geteuid() == 0), f"inputs can be written: {wrote}"


async def _environment(bench: Bench) -> None:
    program = f"{OUTPUTS}\nimport json, os\nprint(json.dumps(dict(os.environ)))"
    secret = f"secret-{secrets.token_hex(8)}"
    os.environ["GOME_KIT_API_KEY"] = secret
    try:
        full = json.loads(str(well(await bench.run(program, limits={"cores": 2})).stdout))
        debug = json.loads(str(well(await bench.run(program, purpose="debug")).stdout))
    finally:
        del os.environ["GOME_KIT_API_KEY"]
    wanted = {"GOME_SEED": "7", "GOME_PARTITION": "2", "GOME_THREADS": "2", "OMP_NUM_THREADS": "2"}
    same({name: full.get(name) for name in wanted}, wanted, "the environment of a full execution")
    same((full.get("GOME_DEBUG"), debug.get("GOME_DEBUG")), (None, "1"), "GOME_DEBUG in full and debug executions")
    same(full.get("PYTHONHASHSEED"), "0", "PYTHONHASHSEED")
    assert secret not in [*full.values(), *debug.values()], "the environment of gome reaches the program"


async def _sample(bench: Bench) -> None:
    done = well(await bench.run(f"{OUTPUTS}\nprint(len(open('input/train.csv').readlines()) - 1)", purpose="debug"))
    rows = int(str(done.stdout))
    same(done.sampled or bench.task.rows_train, rows, "the recorded number of training rows (0 means all)")


async def _exception(bench: Bench) -> None:
    done = ill(await bench.run("def learn():\n    raise KeyError('Lot Area')\nlearn()\n"), "data")
    same((done.exit_code, done.signal), (1, 0), "exit code and signal")
    same(done.exception, "KeyError", "the exception's name")
    assert "KeyError: 'Lot Area'" in done.traceback, f"the traceback is {done.traceback!r}"
    assert "KeyError: 'Lot Area'" in done.error, f"the error does not name the exception: {done.error}"
    assert "program.py" in done.error and "line 2" in done.error, f"nor its place: {done.error}"
    assert str(bench.home) not in done.error + str(done.stderr), "paths of this machine show in it"


async def _classes(bench: Bench) -> None:
    for program, failure in (
        ("x = = 1", "syntax"),
        ("import no_such_module_anywhere", "import"),
        ("raise MemoryError('Unable to allocate 9 GiB')", "memory"),
        ("raise ZeroDivisionError('division by zero')", "numeric"),
        ("open('submission.csv', 'w').write('id,y\\n3,1\\n')", "contract"),
    ):
        ill(await bench.run(program), failure)


async def _code(bench: Bench) -> None:
    done = ill(await bench.run(f"{OUTPUTS}\nimport sys\nsys.exit(3)"), "contract")
    same(done.exit_code, 3, "the exit code")


async def _signal(bench: Bench) -> None:
    done = ill(await bench.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"), "killed")
    same(done.signal, 11, "the signal")


async def _time(bench: Bench) -> None:
    marker = f"kit-{secrets.token_hex(8)}"
    done = ill(await bench.run("print('begun', flush=True)\n" + lasting(marker), limits={"seconds": 1.5}), "time")
    assert done.seconds >= 1.5, f"it had {done.seconds} of 1.5 s"
    same(str(done.stdout).strip(), "begun", "what it printed before")
    gone(marker)


async def _deadline(bench: Bench) -> None:
    ill(await bench.run(FOREVER, deadline=1.0), "time")


async def _memory(bench: Bench) -> None:
    program = "kept = []\nwhile True: kept.append(bytearray(b'x' * (8 << 20)))\n"
    ill(await bench.run(program, limits={"memory_mb": 128}), "memory")


async def _disk(bench: Bench) -> None:
    program = """
import time
for i in range(8):
    with open(f"part{i}", "wb") as file: file.write(b"x" * (8 << 20))
while True: time.sleep(60)
"""
    ill(await bench.run(program, limits={"disk_mb": 32}), "killed")


async def _processes(bench: Bench) -> None:
    marker = f"kit-{secrets.token_hex(8)}"
    program = f"""
import os, sys
count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", {marker!r}])
        count += 1
finally:
    print(count, flush=True)
"""
    done = ill(await bench.run(program, limits={"processes": 24}), "killed")
    assert int(str(done.stdout)) <= 24, f"it could start {done.stdout} processes"
    gone(marker)


async def _links(bench: Bench) -> None:
    secret = bench.home / f"answers-{secrets.token_hex(8)}.csv"
    secret.write_text("id,y\n3,1\n")
    done = await bench.run(
        f"""{OUTPUTS}
import os
os.remove("submission.csv")
os.symlink({str(secret)!r}, "submission.csv")
os.symlink("/etc/passwd", "scores.csv")
os.makedirs("members")
os.symlink("/etc", "members/etc")
"""
    )
    ill(done, "contract")
    same(set(done.outputs), {"oof.csv"}, "the set of outputs")


async def _chatter(bench: Bench) -> None:
    program = f"""{OUTPUTS}
import sys
print("first line")
block = ("x" * 99 + "\\n") * 10_000
for _ in range(40): sys.stdout.write(block)
print("last line", flush=True)
"""
    done = well(await bench.run(program))
    text = str(done.stdout)
    assert len(text) < 4_000_000, f"all {len(text)} characters of 40 MB are kept"
    assert text.startswith("first line") and text.rstrip().endswith("last line"), "head and tail are not kept"


async def _collected(bench: Bench) -> None:
    program = f"{OUTPUTS}\nimport os\nprint(os.urandom(8).hex())\n"
    id = secrets.token_hex(16)
    first = well(await bench.run(program, id=id))
    assert len(str(first.stdout).strip()) == 16, "what it printed is missing"
    again = await bench.run(program, id=id)
    same(again, first, "the result of an execution that had finished")


async def _called_off(bench: Bench) -> None:
    marker = f"kit-{secrets.token_hex(8)}"
    done = await bench.run(lasting(marker), cancelled=lambda: len(alive(marker)) == 2)
    ill(done, "cancelled")
    gone(marker)


async def _abandoned(bench: Bench) -> None:
    marker, id = f"kit-{secrets.token_hex(8)}", secrets.token_hex(16)
    program = lasting(marker)
    ended: list[ExecutionFinished] = []
    async with anyio.create_task_group() as tasks:

        async def first() -> None:
            ended.append(await bench.run(program, id=id))

        tasks.start_soon(first)
        while len(alive(marker)) < 2 and not ended:
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert not ended, "a program that goes on for ever has ended"
    gone(marker)
    ill(await bench.run(program, id=id, deadline=1.0), "time")


async def _orphaned(bench: Bench) -> None:
    marker, id = f"kit-{secrets.token_hex(8)}", secrets.token_hex(16)
    program = lasting(marker)
    process = os.fork()
    if process == 0:
        try:
            anyio.run(lambda: bench.run(program, id=id))
        finally:
            os._exit(0)
    while len(alive(marker)) < 2 and not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        await anyio.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "a program that goes on for ever has ended"
    ill(await bench.run(program, id=id, deadline=1.0), "time")
    gone(marker)


@contextmanager
def _listeners() -> Iterator[tuple[int, str]]:
    """A TCP port and an abstract unix socket of this machine on which somebody listens."""
    name = f"\0gome-kit-{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        yield tcp.getsockname()[1], name


async def _network(bench: Bench) -> None:
    with _listeners() as (port, name):
        socket.create_connection(("127.0.0.1", port)).close()
        done = await bench.run(
            f"""{OUTPUTS}
import socket
def reach(family, address):
    try:
        with socket.socket(family) as connection:
            connection.settimeout(2)
            connection.connect(address)
    except OSError:
        return
    print("reached", address)
reach(socket.AF_INET, ("127.0.0.1", {port}))
reach(socket.AF_INET, ("192.0.2.1", 80))
reach(socket.AF_UNIX, {name!r})
print("tried")
"""
        )
    same(str(well(done).stdout), "tried\n", "what it could reach")


async def _elsewhere(bench: Bench) -> None:
    secret = bench.home / f"answers-{secrets.token_hex(8)}.csv"
    secret.write_text("id,y\n3,1\n")
    digest = bench.store.put(b"another run's program")
    places = [str(secret), str(bench.store.path(digest)), "/etc/shadow", "/var/run/docker.sock", "/proc/1/environ"]
    done = await bench.run(
        f"""{OUTPUTS}
for place in {places!r}:
    try:
        open(place, "rb").read()
    except OSError:
        continue
    print("read", place)
for place in ("/usr/x", "/etc/x", "/x"):
    try:
        open(place, "w").close()
    except OSError:
        continue
    print("wrote", place)
for place in ("x", "/tmp/x"):
    open(place, "w").close()
print("tried")
"""
    )
    same(str(well(done).stdout), "tried\n", "what it could read and write")


async def _rights(bench: Bench) -> None:
    done = await bench.run(
        f"""{OUTPUTS}
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps([int(status["CapEff"], 16), int(status["CapBnd"], 16), int(status["NoNewPrivs"])]))
"""
    )
    same(json.loads(str(well(done).stdout)), [0, 0, 1], "rights, rights it can gain, no_new_privs")


CONTRACT: dict[str, _Body] = {
    "what it leaves is collected, and nothing else": _files,
    "the result says what was run and what it printed": _facts,
    "inputs lie under input/ and cannot be written": _inputs,
    "the environment is the contract's": _environment,
    "a debug execution says how many rows it was given": _sample,
    "an exception is data with its place": _exception,
    "failures have their class": _classes,
    "an exit code of the program's own is a breach of contract": _code,
    "a program that dies of a signal was killed": _signal,
    "time is limited, for children as well": _time,
    "the time that the run has left limits too": _deadline,
    "memory is limited": _memory,
    "disk is limited": _disk,
    "links are not followed where outputs are read": _links,
    "a chatty program is cut, head and tail kept": _chatter,
    "performed again after its end it is collected, not run": _collected,
    "called off it is stopped with all it started": _called_off,
    "abandoned it leaves nothing alive and can be performed again": _abandoned,
    "after a crash of gome it is performed again, and what was left is ended": _orphaned,
}
"""What holds for every runner."""

REACH: dict[str, _Body] = {
    "there is no network": _network,
    "nothing of this machine can be read or written": _elsewhere,
    "a program has no rights and can gain none": _rights,
    "processes are limited": _processes,
}
"""What holds where programs are isolated: a limit of processes does not bind root, for one."""
