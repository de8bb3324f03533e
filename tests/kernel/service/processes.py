"""Real service processes for tests: `gome serve` with stand-in plugins, over a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.architecture.tree import ROOT
from tests.kernel.nats_server import TOKEN
from tests.kernel.service import standin


@dataclass
class Serving:
    """One `gome serve` process, whose diagnostics go to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """Wait until a text is in its diagnostics, and return these."""
        deadline = time.monotonic() + seconds
        while text not in (said := self.log.read_text()):
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.02)
        return said

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def memory(self) -> int:
        """Bytes of memory that it holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Services:
    """Starts services of one server at a folder: stand-in plugins, a home per service, one store of artifacts."""

    folder: Path
    url: str
    lease: int = 5
    token: str = TOKEN
    started: list[Serving] = field(default_factory=list)

    def __post_init__(self) -> None:
        standin.install(self.folder / "site")
        self.gate = self.folder / "gate"
        roles = "".join(f'{role} = "{name}"\n' for role, name in standin.ROLES.items())
        (self.folder / "gome.toml").write_text(roles)

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a process that finds the stand-ins and the server."""
        path = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        names = ",".join([*standin.ROLES.values(), "standin"])
        own = {"PYTHONPATH": path, "GOME_LOAD_PLUGINS": names, "STANDIN_GATE": str(self.gate)}
        log = {"GOME_NATS_URL": self.url, "GOME_NATS_TOKEN": self.token, "GOME_LEASE": str(self.lease)}
        return {**os.environ, **own, **log, "GOME_ARTIFACTS": str(self.folder / "artifacts"), **more}

    def start(self, *flags: str, **more: str) -> Serving:
        """Start `gome serve` and wait until it serves."""
        return self._start("serving ", "serve", *flags, **more)

    def work(self, *flags: str, **more: str) -> Serving:
        """Start `gome worker` for the runner and wait until it works."""
        return self._start("worker for runner", "worker", "--roles", "runner", *flags, **more)

    def _start(self, sign: str, *command: str, **more: str) -> Serving:
        number = len(self.started)
        log = self.folder / f"process{number}.log"
        home = ["--home", str(self.folder / f"home{number}")]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "gome.kernel.cli", *command, *home],
                cwd=self.folder,
                env=self.environment(**more),
                stdout=file,
                stderr=file,
            )
        serving = Serving(process, log)
        self.started.append(serving)
        serving.wait_for(sign)
        return serving

    def executions(self) -> list[list[str]]:
        """Process, run and attempt of every execution that began, by service."""
        files = sorted(self.folder.glob("home*/executions.txt"))
        return [line.split() for file in files for line in file.read_text().splitlines()]


@contextmanager
def services(folder: Path, url: str, **more: Any) -> Iterator[Services]:
    """Services that are killed at the end."""
    found = Services(folder, url, **more)
    try:
        yield found
    finally:
        for serving in found.started:
            serving.kill()
