"""Checks of what an isolated program can reach and start: network, files of this machine, rights, processes.

Part of the conformance kit (`gome.kernel.testing_runner` runs them, in this order, unless a runner only limits).
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gome.kernel.testing_bench import OUTPUTS, Bench, Body, gone, ill, same, well


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


REACH: dict[str, Body] = {
    "there is no network": _network,
    "nothing of this machine can be read or written": _elsewhere,
    "a program has no rights and can gain none": _rights,
    "processes are limited": _processes,
}
"""Checks by what they are about; the last is one of them since a limit of processes does not bind root, for one."""
