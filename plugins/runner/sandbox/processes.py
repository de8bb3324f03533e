"""Has the launcher started, watches what it started, and stops it: for time, memory, disk, or because it is called off.

`run` is the one function. However it is left (a result, an exception, cancellation) no process of the execution is
alive afterwards: the launcher's standard input is its lifeline, and we wait until it has said that all are dead.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio

from gome.events import Limits
from gome.kernel.errors import SandboxUnavailable
from gome.plugins.runner.sandbox import usage
from gome.plugins.runner.sandbox.capture import Capture
from gome.plugins.runner.sandbox.cgroup import Group
from gome.plugins.runner.sandbox.disk import Disk
from gome.plugins.runner.sandbox.starting import Started, cold, zygote

Stop = Literal["", "time", "memory", "gpu memory", "disk", "cancelled", "hopeless"]


@dataclass(frozen=True)
class Ended:
    """How an execution ended: by itself (`stop` empty), or stopped by us and why. `whole` are the files of those output
    streams that are longer than what is shown of them, `startup` the seconds from the request to the program, `warm`
    whether it was forked from the zygote."""

    exit_code: int
    signal: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    stop: Stop
    stdout: str
    stderr: str
    whole: tuple[Path, ...] = ()
    startup: float = 0.0
    warm: bool = False


def read_report(path: Path) -> dict[str, Any]:
    """Merge the launcher's report lines; empty before it has said anything."""
    facts: dict[str, Any] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return facts
    for line in lines[:-1]:
        facts.update(json.loads(line))
    return facts


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is whole or absent, and durable once this returns."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def run(
    plan: dict[str, Any],
    folder: Path,
    limits: Limits,
    *,
    box: Path,
    group: Group | None,
    cancelled: Callable[[], bool],
    keep: int,
    cap: int,
    metrics: Sequence[str] = (),
    hopeless: Callable[[], bool] = lambda: False,
    warm: bool = False,
    exceeded: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a plan to its end, `warm` if the zygote has come up. `keep` bytes of each output go into the result, `cap`
    bytes to disk; `metrics` names what lines are looked for in the rest; `hopeless` is asked twice a second whether
    going on is of no use; `exceeded` says that it has taken more than its share of a GPU (`telemetry.py`). Raises
    SandboxUnavailable when the launcher could not make the sandbox."""
    out, err = (Capture(folder / name, keep, cap, metrics) for name in ("stdout", "stderr"))
    watch = Watch(plan, limits, box, group, cancelled, hopeless, exceeded)
    asked = time.monotonic()
    launcher: Started = (zygote.start() if warm else None) or await cold()
    try:
        await launcher.send(json.dumps(plan).encode() + b"\n")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(out.drain, launcher.stdout)
            tasks.start_soon(err.drain, launcher.stderr)
            tasks.start_soon(watch.until_stopped, launcher)
            await launcher.wait()
            watch.scope.cancel()
            # Everybody is dead, so both streams end now; without isolation something may have escaped with them.
            tasks.cancel_scope.deadline = anyio.current_time() + 5
    finally:
        with anyio.CancelScope(shield=True):
            await stop(launcher, Path(plan["report"]))
            if "over" not in read_report(Path(plan["report"])):
                await watch.buried()
            await launcher.close()
    facts = read_report(Path(plan["report"]))
    if "error" in facts:
        raise SandboxUnavailable(f"the sandbox could not be made: {facts['error']}")
    if "over" not in facts and "ready" not in facts:
        if launcher.warm and not cancelled():  # the zygote died under it, before anything was run
            again = {"cancelled": cancelled, "keep": keep, "cap": cap, "metrics": metrics, "hopeless": hopeless}
            return await run(plan, folder, limits, box=box, group=group, exceeded=exceeded, **again)  # type: ignore[arg-type]
        raise SandboxUnavailable(f"the sandbox's launcher failed: {err.text()[-500:] or 'it said nothing'}")
    # What ended by itself before our signal came was not stopped by us; the kernel's kill for memory shows afterwards.
    reason: Stop = "" if "exit_code" in facts else watch.reason
    if not reason and group and group.killed():
        reason = "memory"
    return Ended(
        exit_code=facts.get("exit_code", 0),
        signal=facts.get("signal", 0 if "exit_code" in facts else int(signal.SIGKILL)),
        seconds=facts.get("seconds", facts.get("at", time.monotonic()) - facts.get("ready", watch.began)),
        cpu_seconds=facts.get("cpu_seconds", 0.0),
        peak_mb=max(watch.peak, facts.get("largest_mb", 0.0)),
        stop=reason,
        stdout=out.text(),
        stderr=err.text(),
        whole=tuple(stream.path for stream in (out, err) if stream.cut),
        startup=max(0.0, facts["running"] - asked) if "running" in facts else 0.0,
        warm=launcher.warm,
    )


async def stop(launcher: Started, report: Path) -> None:
    """Cut the lifeline and wait until the launcher has buried everybody; kill it should it not answer."""
    await launcher.hang_up()
    with anyio.move_on_after(10):
        await launcher.wait()
        return
    if pid := read_report(report).get("pid"):
        launcher.kill(pid)
    await launcher.wait()


class Watch:
    """Looks at a running execution several times a second and remembers why it had to be stopped."""

    def __init__(
        self,
        plan: dict[str, Any],
        limits: Limits,
        box: Path,
        group: Group | None,
        cancelled: Callable[[], bool],
        hopeless: Callable[[], bool],
        exceeded: Callable[[], bool],
    ) -> None:
        self.report = Path(plan["report"])
        self.above = 3 if plan["kind"] == "bubblewrap" else 2
        self.limits = limits
        self.isolated = plan["kind"] != "none"
        self.group = group
        self.cancelled = cancelled
        self.hopeless = hopeless
        self.exceeded = exceeded
        self.began = time.monotonic()
        self.peak = 0.0
        self.reason: Stop = ""
        self.scope = anyio.CancelScope()
        self._helpers: dict[int, str] = {}
        self.launcher = 0
        self._ready = False
        # A megabyte more than a single file may have: who runs into that limit shall see the error.
        self.disk = Disk(box, limits.disk_mb + 1 << 20)
        self._look_at_scores = self.began + 0.5

    async def until_stopped(self, launcher: Started) -> None:
        """Poll until the execution must stop, then cut its lifeline; `scope` is cancelled when it is over."""
        with self.scope:
            while not (reason := self.look()):
                # A short program deserves a fine look at its memory; a long one must not pay for being watched.
                await anyio.sleep(0.02 if time.monotonic() - self.began < 2 else 0.1)
            self.reason = reason
            await stop(launcher, self.report)

    def look(self) -> Stop:
        """Return why the execution has to stop now, "" when it may go on."""
        if not self._ready:
            facts = read_report(self.report)
            if "pid" in facts and not self.launcher:
                self.launcher = facts["pid"]
                # Should gome be killed without a chance to tidy up, its successor finds whom to look for: `workdir.py`.
                known = {"pid": self.launcher, "started": usage.started(self.launcher)}
                self.report.with_name("process.json").write_text(json.dumps(known))
            if "ready" in facts:
                self.began, self._ready = facts["ready"], True
                self._helpers = {pid: usage.started(pid) for pid in self._first(self.launcher)}
        now = time.monotonic()
        if self.cancelled():
            return "cancelled"
        if now - self.began > self.limits.seconds:
            return "time"
        pids = [pid for pid in usage.descendants(self.launcher) if pid not in self._helpers] if self._ready else []
        if self._too_large(pids):
            return "memory"
        if self.exceeded():
            return "gpu memory"
        if self.disk.exceeded(pids):
            return "disk"
        if now > self._look_at_scores:
            self._look_at_scores = now + 0.5
            if self.hopeless():
                return "hopeless"
        return ""

    async def buried(self) -> None:
        """Wait until the sandbox's own processes have gone. They have when the launcher ends by itself; when somebody
        has killed it, the kernel needs a moment, in which the program might still write."""
        with anyio.move_on_after(10):
            while any(born and usage.started(pid) == born for pid, born in self._helpers.items()):
                await anyio.sleep(0.005)

    def _first(self, launcher: int) -> list[int]:
        """The launcher's own processes (outer, inner, with bubblewrap its monitor), which are not the program's."""
        chain = [launcher]
        while len(chain) < self.above and (below := usage.children(chain[-1])):
            chain.append(below[0])
        return chain

    def _too_large(self, pids: list[int]) -> bool:
        # Files under /dev/shm and /tmp are memory that no process may have mapped.
        files = usage.memory_files(pids) if self.isolated else 0.0
        size = usage.resident(pids, files)
        if size > self.limits.memory_mb:
            size = usage.proportional(pids, files)
        self.peak = max(self.peak, size)
        return size > self.limits.memory_mb
