"""Three machines and one server: a driver, a worker and a reader, each with a home and credentials of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Terminal, Wait, prepare
from tests.kernel.shared_server import SharedServer

QUEUED = ("--set", "performers.runner=queue")


@dataclass(frozen=True)
class Machine(Terminal):
    """A terminal whose processes are one user of the server."""

    user: str
    server: SharedServer

    def start(self, *args: str) -> subprocess.Popen[str]:
        (self.folder / self.user).mkdir(exist_ok=True)
        own = {
            "GOME_HOME": str(self.folder / self.user / "home"),
            "GOME_NATS_URL": self.server.url,
            "GOME_SECRETS": str(self.server.folder / f"{self.user}.secrets"),
            "GOME_ARTIFACTS": str(self.folder / "artifacts"),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "gome.kernel.cli", *args],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **own},
        )

    def refused(self, *args: str) -> str:
        """Run `gome …`, which the server forbids: one line, exit code 3, no password."""
        done = self.gome(*args)
        assert done.returncode == 3, (done.returncode, done.stdout, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("gome: ")]
        assert len(lines) == 1 and f"does not permit user {self.user} to" in lines[0], done.stderr
        assert "Traceback" not in done.stderr
        assert self.server.secrets(self.user)["GOME_NATS_PASSWORD"] not in done.stderr
        return lines[0]

    def credentials(self) -> str:
        """What `gome doctor` says of the user."""
        done = self.gome("doctor", "--json")
        (line,) = [line for line in done.stdout.splitlines() if '"name":"credentials"' in line]
        return line


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SharedServer]:
    server = SharedServer(tmp_path / "server")
    asyncio.run(server.start())
    yield server
    server.kill()


def test_a_run_is_driven_performed_and_shown_under_three_users(
    server: SharedServer, tmp_path: Path, wait_for: Wait
) -> None:
    prepare(tmp_path)
    driver, runner, reader = (Machine(tmp_path, user, server) for user in ("driver", "runner", "reader"))
    # It comes first and waits for the driver, which makes the streams.
    worker = runner.start("worker", "--roles", "runner")
    wait_for(worker, "worker for runner")
    result = driver.lines("run", "houses.csv", "--target", "price", "--steps", "2", "--run", "shared", *QUEUED)[-1]
    assert result["outcome"] == "done" and result["hidden"] > 0
    worker.send_signal(signal.SIGINT)
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0 and ": 0 performed" not in err and "performed" in err, err
    assert not (tmp_path / "runner" / "home" / "vault").exists()

    (row,) = reader.lines("runs")
    assert (row["run"], row["state"]) == ("shared", "done")
    summary, *_ = reader.lines("show", "shared")
    assert summary["summary"]["score"] == result["score"] and summary["summary"]["hidden"] is None
    verified = reader.gome("verify", "shared")
    assert verified.returncode == 0 and "may not read the vault" in verified.stderr, verified.stderr
    assert driver.lines("verify", "shared")[0]["grades"] > 0

    reader.refused("run", "houses.csv", "--target", "price", "--run", "own")
    assert "GOME_WORK" in reader.refused("worker", "--roles", "runner")
    assert "GOME_WORK.scorer" in runner.refused("worker", "--roles", "scorer")
    assert "user runner may work as runner, read runs; may not drive runs" in runner.credentials()
    assert "user driver may" in driver.credentials() and "drive runs" in driver.credentials()
