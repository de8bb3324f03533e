"""One execution: a container from its start to its removal, watched for its disk and for being called off.

The container's name comes from the id of the intent, so that a successor finds what a crashed process has left. Time is
kept by the guard inside (`guard.py`), memory and processes are limited by the engine, and however `run` is left the
container is gone.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.abc import Process

from gome.kernel.errors import SandboxUnavailable
from gome.plugins.runner.sandbox.custom import Capture, Ended, Job, Ran, Stop, folder_size
from gome_container_runner import engine as engines
from gome_container_runner.settings import ContainerSettings

STARTING = 60.0
"""Seconds that an engine may take on top of a program's own time, to start and to tidy up."""
MAX_FILES = 100_000
KILLED = 137
"""Exit code of a container whose first process was killed; others without a report are the engine's own."""
REPORT_BYTES = 8192
"""Room at the end of standard error for the guard's report."""


def name_of(job: Job) -> str:
    """The container's name."""
    return f"gome-{job.intent[:32]}"


async def clear(job: Job) -> None:
    """Remove the container that a crashed attempt at this intent may have left; what it did is done again."""
    settings = _settings(job)
    engine = await anyio.to_thread.run_sync(engines.find, settings.engine)
    await anyio.to_thread.run_sync(engine.remove, name_of(job))


async def run(job: Job) -> Ran:
    """Run a program to its end."""
    settings = _settings(job)
    engine = await anyio.to_thread.run_sync(engines.find, settings.engine)
    image = await anyio.to_thread.run_sync(engines.image_digest, engine, settings.image)
    name, token = name_of(job), secrets.token_hex(16)
    line = engines.command_line(engine, name, image, job, python=settings.interpreter)
    out = Capture(job.folder / "stdout", job.keep, job.cap, (job.metric,))
    err = Capture(job.folder / "stderr", job.keep + 2 * REPORT_BYTES, job.cap, (job.metric,))
    order = json.dumps({"seconds": job.limits.seconds, "token": token}).encode() + b"\n"
    client = await anyio.open_process(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=job.folder,  # podman's helper leaves a file where it is started
        start_new_session=True,
    )
    watch = Watch(job)
    try:
        assert client.stdin and client.stdout and client.stderr
        with contextlib.suppress(anyio.BrokenResourceError):  # it has ended already: its exit code says why
            await client.stdin.send(order)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(out.drain, client.stdout)
            tasks.start_soon(err.drain, client.stderr)
            tasks.start_soon(watch.until_stopped, client)
            await client.wait()
            watch.scope.cancel()
            tasks.cancel_scope.deadline = anyio.current_time() + 5
    finally:
        with anyio.CancelScope(shield=True):
            await cut(client)
            await anyio.to_thread.run_sync(engine.remove, name)
            await client.aclose()
    stderr, report = split(err.text(), token)
    if err.cut:
        said, found, _ = err.path.read_bytes().rpartition(f"\n{token}".encode())
        if found:
            err.path.write_bytes(said)
    by = f"{Path(engine.command).name} {engine.version}"
    versions = {"image": settings.image, "image_digest": image, "engine": by}
    if not report and not watch.reason and client.returncode != KILLED:
        told = stderr.strip()[-500:] or "the engine says nothing"
        raise SandboxUnavailable(f"no container came of it (exit code {client.returncode}): {told}")
    ended = _ended(watch, report, out.text(), stderr, tuple(stream.path for stream in (out, err) if stream.cut))
    return Ran(ended, {**versions, **report.get("versions", {})}, "cuda" if job.gpu else "cpu")


def _settings(job: Job) -> ContainerSettings:
    return msgspec.convert(job.settings, ContainerSettings)


def split(stderr: str, token: str) -> tuple[str, dict[str, Any]]:
    """Take the guard's report off the end of standard error: what the program wrote, and the report ({} without)."""
    said, found, report = stderr.rpartition(f"\n{token}")
    return (said, json.loads(report)) if found else (stderr, {})


def _ended(watch: Watch, report: dict[str, Any], stdout: str, stderr: str, whole: tuple[Path, ...]) -> Ended:
    """How it ended: as the guard says; without its report somebody has killed the guard."""
    # The guard tells only that its lifeline has ended; why we cut it is known here.
    stop: Stop = report.get("stop", watch.reason)
    return Ended(
        exit_code=report.get("exit_code", 0),
        signal=report.get("signal", 9),
        seconds=report.get("seconds", time.monotonic() - watch.began),
        cpu_seconds=report.get("cpu_seconds", 0.0),
        peak_mb=report.get("peak_mb", 0.0),
        stop=watch.reason or "cancelled" if stop == "cancelled" else stop,
        stdout=stdout,
        stderr=stderr,
        whole=whole,
        startup=max(0.0, report.get("began", watch.since) - watch.since),
    )


async def cut(client: Process) -> None:
    """Cut the lifeline and give the guard ten seconds to bury everybody; then the engine's client is killed as well,
    and whoever calls this has the engine kill the container."""
    if client.stdin:
        await client.stdin.aclose()
    with anyio.move_on_after(10):
        await client.wait()
        return
    client.kill()
    await client.wait()


class Watch:
    """Looks at an execution several times a second and remembers why it had to be stopped."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.began = time.monotonic()
        self.since = time.time()
        self.reason: Stop = ""
        self.scope = anyio.CancelScope()
        self._look_at_disk = self.began + 0.5

    async def until_stopped(self, client: Process) -> None:
        """Poll until the execution must stop, then stop it; `scope` is cancelled when it is over."""
        with self.scope:
            while not (reason := self.look()):
                await anyio.sleep(0.05)
            self.reason = reason
            await cut(client)

    def look(self) -> Stop:
        """Return why the execution has to stop now, "" when it may go on."""
        now, limits = time.monotonic(), self.job.limits
        if self.job.cancelled():
            return "cancelled"
        if now - self.began > limits.seconds + STARTING:
            return "time"
        if now > self._look_at_disk:
            size, files = folder_size(self.job.box)
            self._look_at_disk = now + max(0.5, 20 * (time.monotonic() - now))
            if size > limits.disk_mb << 20 or files > MAX_FILES:
                return "disk"
        return ""
