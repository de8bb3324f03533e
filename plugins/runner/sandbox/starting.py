"""Two ways to start the launcher, seen the same way by `processes.py`: execute it, or have the zygote fork it.

`Started` is a launcher that waits for its plan: its lifeline (standard input), its output streams, its process, and its
end. `cold` executes one; `Zygote.start` sends its descriptors to the process that has the libraries imported
(`zygote.py`) and gets an equal one. Who chooses is `processes.run`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream, Process

from gome.plugins.runner.sandbox.interpreter import interpreter

LAUNCHER = Path(__file__).with_name("launcher.py")
ZYGOTE = Path(__file__).with_name("zygote.py")

IMPORTS = 120.0
"""Seconds after which a zygote that is still importing is given up."""


class Started(Protocol):
    """A launcher: `send` gives it its plan, `hang_up` cuts its lifeline, `wait` returns when it has ended, `kill` ends
    it without a chance to tidy up, `close` frees what we hold of it."""

    @property
    def warm(self) -> bool: ...
    @property
    def stdout(self) -> ByteReceiveStream: ...
    @property
    def stderr(self) -> ByteReceiveStream: ...

    async def send(self, plan: bytes) -> None: ...
    async def hang_up(self) -> None: ...
    async def wait(self) -> None: ...
    def kill(self, pid: int) -> None: ...
    async def close(self) -> None: ...


class Cold:
    """A launcher that was executed."""

    warm = False

    def __init__(self, process: Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    async def send(self, plan: bytes) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):  # it has ended already: the report or stderr says why
            await self.stdin.send(plan)

    async def hang_up(self) -> None:
        await self.stdin.aclose()

    async def wait(self) -> None:
        await self.process.wait()

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def close(self) -> None:
        await self.process.aclose()


async def cold() -> Cold:
    """Execute the launcher."""
    return Cold(
        await anyio.open_process(
            [sys.executable, "-I", "-S", str(LAUNCHER), "outer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"LANG": "C.UTF-8"},
            start_new_session=True,
        )
    )


class Pipe(ByteReceiveStream):
    """The reading end of a pipe."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while True:
            if self._fd < 0:
                raise anyio.ClosedResourceError
            try:
                data = os.read(self._fd, max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._fd)
                continue
            if not data:
                raise anyio.EndOfStream
            await anyio.lowlevel.checkpoint()
            return data

    async def aclose(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            anyio.notify_closing(fd)
            os.close(fd)


class Forked:
    """A launcher that the zygote forked: not our child, so a pipe that only it holds says when it has ended."""

    warm = True

    def __init__(self, plan: int, stdout: int, stderr: int, alive: int) -> None:
        self._plan = plan
        self.stdout, self.stderr, self._alive = Pipe(stdout), Pipe(stderr), Pipe(alive)
        self._waiting = anyio.Lock()

    async def send(self, plan: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._plan, plan)

    async def hang_up(self) -> None:
        if self._plan >= 0:
            os.close(self._plan)
            self._plan = -1

    async def wait(self) -> None:
        async with self._waiting:  # the watchdog waits as well, when it has hung up
            with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError):
                await self._alive.receive()

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def close(self) -> None:
        await self.hang_up()
        for stream in (self.stdout, self.stderr, self._alive):
            await stream.aclose()


class Zygote:
    """The process that has imported the libraries: executed when first needed, one for all executions of this process.
    It ends with us, since it reads from a socket of ours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = os.getpid()
        self._ready = False
        self._began = 0.0
        self.problem = ""
        self.seconds = 0.0
        self.broken: dict[str, str] = {}

    def begin(self) -> None:
        """Execute it, unless it runs or has failed; do not wait for its imports."""
        with self._lock:
            if self._owner != os.getpid():  # a fork of ours must not share it
                self._process, self._control, self.problem = None, None, ""
            if self._process is not None and self._process.poll() is not None:
                self._end()
            if self._control is None and not self.problem:
                self._execute()

    def _execute(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner, self._began, self._ready = os.getpid(), time.monotonic(), False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-X", "faulthandler", str(ZYGOTE)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            self.problem = f"the interpreter cannot be executed: {error}"
            ours.close()
        else:
            self._control = ours
        finally:
            theirs.close()

    def ready(self) -> str:
        """Wait (blocking) until it has imported the libraries; return why it has not, "" when it has."""
        self.begin()
        with self._lock:
            if self.problem or self._ready:
                return self.problem
            assert self._control is not None
            self._control.settimeout(IMPORTS)
            try:
                said = self._control.recv(1 << 16)
                self.problem = "" if said else "it ended while it imported the libraries"
            except OSError as error:
                self.problem = f"it did not import the libraries: {error}"
            if self.problem:
                self._end()
            else:
                self._control.settimeout(5)
                self._ready, self.seconds = True, time.monotonic() - self._began
                self.broken = json.loads(said).get("problems", {})
            return self.problem

    def start(self) -> Forked | None:
        """Have it fork a launcher; None when it has gone (and a next one will be executed)."""
        ends = [os.pipe() for _ in range(4)]
        theirs = [ends[0][0], ends[1][1], ends[2][1], ends[3][1]]
        mine = [ends[0][1], ends[1][0], ends[2][0], ends[3][0]]
        with contextlib.suppress(OSError):
            fcntl.fcntl(mine[0], fcntl.F_SETPIPE_SZ, 1 << 20)  # the plan must fit: it is written without waiting
        try:
            with self._lock:
                if self._control is None:
                    raise BrokenPipeError
                socket.send_fds(self._control, [b"start"], theirs)
            return Forked(*mine)
        except OSError:
            for fd in mine:
                os.close(fd)
            with self._lock:
                self._end()
            return None
        finally:
            for fd in theirs:
                os.close(fd)

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def environment() -> dict[str, str]:
    """The zygote's environment: what must be set before an interpreter or a library starts, and nothing of ours."""
    values = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMEXPR_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    if base := interpreter().user_base:
        values["PYTHONUSERBASE"] = base
    return values


zygote = Zygote()
"""The one of this process."""
