"""Public help for tests of plugins and of the kernel: a recorded world, a memory artifact store, a conformance kit.

In a *recorded world* effects are answered from a table, take virtual seconds, and arrive in the order of their virtual
completion; the clock moves only when nothing else can happen. So a run is a pure function of its plugins, its seed and
the table, and a run that is killed anywhere and taken up again must come out the same.
"""

from __future__ import annotations

import heapq
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gome.events import (
    ROOT,
    AlarmRang,
    AlarmRequested,
    Payload,
    RunStarted,
    Sealed,
    digest_of,
    event_id,
    result_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.cursor import Cursor
from gome.kernel.discovery import codec_for
from gome.kernel.errors import ArtifactMissing
from gome.kernel.live import LiveRun
from gome.kernel.log import EventLog
from gome.kernel.plugin import Plugin
from gome.kernel.state import OpenIntent, RunState
from gome.kernel.testing_runner import conform_runner as conform_runner
from gome.kernel.timekeeping import VirtualTime

World = Callable[[OpenIntent], tuple[Payload, float]]
"""Answers an intent: the result's payload and the virtual seconds it takes. Must be a pure function."""


class MemoryArtifacts:
    """The artifact store's twin: bytes in a dict, materialised in a temporary folder when a path is asked for."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="gome-artifacts-"))

    def put(self, data: bytes) -> str:
        """Keep bytes and return their digest."""
        digest = digest_of(data)
        self._data.setdefault(digest, data)
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a file's bytes and return their digest."""
        return self.put(path.read_bytes())

    def get(self, digest: str) -> bytes:
        """Return the bytes; raises `ArtifactMissing`."""
        if digest not in self._data:
            raise ArtifactMissing(f"artifact {digest} is not in memory")
        return self._data[digest]

    def path(self, digest: str) -> Path:
        """A file with these bytes."""
        path = self._folder / digest
        if not path.exists():
            path.write_bytes(self.get(digest))
        return path

    def has(self, digest: str) -> bool:
        """Whether the bytes are here."""
        return digest in self._data

    def text(self, digest: str) -> str:
        """The bytes as text."""
        return self.get(digest).decode()


class Killed(Exception):
    """The recorded world was told to stop after so many commits."""


async def open_run(
    log: EventLog, run: str, plugins: Sequence[Plugin], artifacts: MemoryArtifacts, time: VirtualTime, who: str = "test"
) -> LiveRun:
    """Fold what the log holds of a run (nothing yet is fine), ready to go on."""
    codec = codec_for(plugins)
    live = LiveRun(log, RunState(run, codec, plugins, artifacts.text), Scribe(run, codec, artifacts, who), time)
    if run in await log.runs():
        await live.load()
    return live


async def start(live: LiveRun, started: RunStarted) -> None:
    """Append a run's first event, unless the log has it."""
    if live.state.head.seq == 0:
        id = event_id(ROOT, "client", 0)
        said = live.state.codec.saying(id, started, corr=id)
        await live.commit(live.scribe.draft("control", "client", ROOT, [said]))


async def drive(live: LiveRun, world: World, time: VirtualTime, *, stop_after: int | None = None) -> None:
    """Run to the end in a recorded world. With `stop_after`, raise `Killed` once the log holds that many commits more
    than when we began. Taken up again from the log, open intents complete when they would have."""
    state = live.state
    due: list[tuple[float, int, str]] = []
    scheduled: set[str] = set()
    commits = 0

    def step() -> None:
        nonlocal commits
        commits += 1
        if stop_after is not None and commits >= stop_after:
            raise Killed(f"after {commits} commits")

    while state.finished is None:
        while answer := state.answer():
            if answer.error:
                raise RuntimeError(f"{answer.plugin.name} raised {answer.error}\n{answer.trace}")
            cursor = next(c for c in state.cursors if c.plugin is answer.plugin)
            draft = live.scribe.draft(
                "decide",
                answer.plugin,
                answer.trigger.id,
                answer.sayings(state.codec),
                seen=answer.seen,
                flags=answer.flags,
            )
            if await live.commit(draft, still=lambda c=cursor, a=answer: c.holds(a)):  # type: ignore[misc]
                step()
        for id, found in state.open.items():
            if id not in scheduled:
                scheduled.add(id)
                heapq.heappush(due, (_completion(found, world), found.event.seq, id))
        while due and not state.is_open(due[0][2]):
            heapq.heappop(due)
        if not due:
            return
        at, _, id = heapq.heappop(due)
        time.current = max(time.current, at)
        found = state.open[id]
        payload, _ = _answer(found, world)
        said = state.codec.saying(result_id(id), payload, cause=id, corr=found.event.corr)
        performer = next(
            (p for p in (c.plugin for c in state.cursors) for e in p.effects if e.intent.__name__ == found.event.type),
            "kernel",
        )
        if await live.commit(live.scribe.draft("effect", performer, id, [said]), still=lambda i=id: state.is_open(i)):  # type: ignore[misc]
            step()


def _answer(found: OpenIntent, world: World) -> tuple[Payload, float]:
    payload = found.event.payload
    if isinstance(payload, AlarmRequested):
        return AlarmRang(name=payload.name, at=payload.at), max(0.0, payload.at - found.event.active)
    return world(found)


def _completion(found: OpenIntent, world: World) -> float:
    return found.event.ts + _answer(found, world)[1]


def state_digest(state: RunState) -> str:
    """Digest of a run's trajectory and ledger: equal for runs that came out the same."""
    t = state.trajectory
    attempts = [
        {
            "id": a.id,
            "parent": a.parent,
            "statement": a.hypothesis.statement if a.hypothesis else "",
            "code": a.code.digest if a.code else "",
            "score": a.score,
            "accepted": a.accepted,
            "gain": a.gain,
            "reason": a.reason,
        }
        for a in t.attempts.values()
    ]
    end = [t.best, t.selected, t.finished, state.ledger.executions, state.ledger.execution_seconds]
    return digest_of(msgspec.json.encode([attempts, end]))


_FORBIDDEN = ("open", "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "shutil.")


@dataclass
class _Guard:
    on: bool = False
    seen: list[str] = field(default_factory=list)


_guard = _Guard()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _guard.on and event.startswith(_FORBIDDEN):
        _guard.seen.append(f"{event}{args[:1]!r}")


@contextmanager
def pure() -> Any:
    """Within this block, files, sockets and processes are noticed; leaving it raises AssertionError if any
    was touched. An audit hook cannot be removed, so it is installed once and switched."""
    if not getattr(pure, "installed", False):
        sys.addaudithook(_hook)
        pure.installed = True  # type: ignore[attr-defined]
    _guard.seen.clear()
    _guard.on = True
    try:
        yield
    finally:
        _guard.on = False
    assert not _guard.seen, f"deciding touched the world: {_guard.seen[:3]}"


def conform(plugin: Plugin, history: Sequence[Sealed]) -> int:
    """Check a plugin's pure half on a recorded history and return the number of events it answered.

    Checked: folding and deciding touch nothing but their arguments, two independent copies say the same, and a copy
    that is fed everything twice as slowly (asked after every record instead of at the end) says the same. Run it under
    two values of PYTHONHASHSEED to catch answers that depend on the order of a set. Raises AssertionError.
    """
    codec = codec_for([plugin])
    commits = [codec.commit(sealed) for sealed in history]

    def answers(eager: bool) -> list[tuple[str, int, tuple[Any, ...]]]:
        cursor = Cursor(plugin)
        said = []
        for commit in commits:
            given = cursor.feed(commit)
            if given is not None:
                said.append((given.trigger.id, given.seen, given.sayings(codec)))
            if eager:
                cursor.answer()
        if tail := cursor.answer():
            assert not tail.error, f"{plugin.name} raised {tail.error}\n{tail.trace}"
            said.append((tail.trigger.id, tail.seen, tail.sayings(codec)))
        return said

    cold = answers(eager=False)  # imports done inside decide happen here, outside the guard
    with pure():
        first, second = answers(eager=True), answers(eager=False)
    assert first == second == cold, f"{plugin.name} does not say the same thing twice"
    return len(first)
