"""A real nats-server under the configuration that `gome server config` writes, with a connection per user."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gome.kernel.cli import main
from gome.kernel.jetstream import Connection
from tests.kernel.nats_server import NatsServer


def write_config(folder: Path, *flags: str) -> None:
    """`gome server config` in this process; its files lie in the folder afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        main(["server", "config", "--out", str(folder / "nats.conf"), "--store", str(folder / "store"), *flags])
    except SystemExit as ended:
        assert not ended.code


class SharedServer(NatsServer):
    """A server of several users, which listens at `host`. `flags` go to `gome server config`."""

    def __init__(self, folder: Path, *flags: str, host: str = "127.0.0.1") -> None:
        super().__init__(folder)
        write_config(folder, "--listen", f"{host}:{self.port}", *flags)

    def environment(self) -> dict[str, str]:
        """The variables with which the server is started."""
        lines = (self.folder / "nats.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def spawn(self) -> subprocess.Popen[bytes]:
        with (self.folder / "nats.log").open("ab") as log:
            command = [self.binary, "-c", str(self.folder / "nats.conf")]
            return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.environment()})

    def secrets(self, user: str) -> dict[str, str]:
        """The variables of a user's secrets file."""
        return tomllib.loads((self.folder / f"{user}.secrets").read_text())

    def connection(self, user: str, **more: float) -> Connection:
        """A connection as one of the users."""
        found = self.secrets(user)
        return Connection(self.url, user=found["GOME_NATS_USER"], password=found["GOME_NATS_PASSWORD"], **more)  # type: ignore[arg-type]


@asynccontextmanager
async def shared_server(folder: Path, *flags: str) -> AsyncIterator[SharedServer]:
    """A started server that is killed at the end."""
    server = SharedServer(folder, *flags)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
