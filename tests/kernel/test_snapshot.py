"""Snapshots: what is restored and read on from is what is read from the start; anything else counts for nothing."""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import Codec, Event, ExecutionRequested, Head, Payload, Sealed
from gome.kernel.appender import Scribe
from gome.kernel.cli.opening import folded
from gome.kernel.connect import Connection
from gome.kernel.discovery import codec_for
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Context, Plugin
from gome.kernel.replay import Verifier
from gome.kernel.session import Session
from gome.kernel.snapshot import Camera, Snapshots, restored
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start, state_digest
from gome.kernel.timekeeping import RealTime, VirtualTime
from tests.kernel import toy
from tests.kernel.test_session import Desk, with_runner
from tests.recorded.corpus import Corpus, load, names

pytestmark = pytest.mark.anyio


def plain(value: Any) -> Any:
    """Any state as values whose text is the same for equal states."""
    if dataclasses.is_dataclass(value):
        return [type(value).__name__, {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}]
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, {name: plain(getattr(value, name)) for name in value.__struct_fields__}]
    if isinstance(value, Mapping):
        return [[plain(k), plain(v)] for k, v in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(repr(plain(v)) for v in value)
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        return [plain(v) for v in value]
    return value


def everything(state: RunState) -> bytes:
    """All that a state is, as bytes."""
    return repr(plain([state.head, *state.kept()])).encode()


class History:
    """A recorded run and the means to fold it."""

    def __init__(self, run: str, plugins: tuple[Plugin, ...], records: list[Sealed], texts: Any) -> None:
        self.run, self.plugins, self.records, self.texts = run, plugins, records, texts
        self.codec: Codec = codec_for(plugins)

    def empty(self, *, deciders: bool = True) -> RunState:
        return RunState(self.run, self.codec, self.plugins if deciders else (), self.texts)

    def fold(self, state: RunState, records: list[Sealed]) -> RunState:
        for sealed in records:
            state.apply(sealed)
            state.answer()
        return state


async def toys(steps: int = 6) -> tuple[History, MemoryLog]:
    log, artifacts, time = MemoryLog(clock=lambda: 0.0), MemoryArtifacts(), VirtualTime()
    live = await open_run(log, "r", toy.PLUGINS, artifacts, time)
    await start(live, toy.started(steps=steps, seconds=1000.0))
    await drive(live, toy.world, time)
    return History("r", toy.PLUGINS, [s async for s in log.read("r")], artifacts.text), log


def recorded(name: str) -> History:
    corpus: Corpus = anyio.run(load, name)
    return History(corpus.run, tuple(corpus.plugins), list(corpus.records), corpus.texts.__getitem__)


HISTORIES = {"toy": anyio.run(toys)[0], **{name: recorded(name) for name in names()}}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(HISTORIES)), st.floats(0.0, 1.0), st.booleans())
def test_a_snapshot_anywhere_and_the_rest_make_the_same_state(name: str, share: float, eager: bool) -> None:
    history = HISTORIES[name]
    k = 1 + int(share * (len(history.records) - 1))
    half = history.empty()
    for sealed in history.records[:k]:
        half.apply(sealed)
        if eager:
            half.answer()
    again = history.empty()
    with tempfile.TemporaryDirectory(prefix="gome-test-snapshots-") as folder:
        snapshots = Snapshots(Path(folder))
        snapshots.put(history.run, snapshots.take(half))
        assert snapshots.restore(again, history.plugins)
    assert everything(again) == everything(half)
    history.fold(again, history.records[k:])
    whole = history.fold(history.empty(), history.records)
    assert state_digest(again) == state_digest(whole)
    if eager:  # else how far each decider has folded depends on when it was asked
        assert everything(again) == everything(whole)


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_decisions_behind_a_snapshot_are_those_that_were_recorded(name: str, tmp_path: Path) -> None:
    history = HISTORIES[name]
    k = len(history.records) // 2
    snapshots = Snapshots(tmp_path)
    snapshots.put(history.run, snapshots.take(history.fold(history.empty(), history.records[:k])))
    verifier = Verifier(history.run, history.codec, history.plugins, history.texts)
    assert snapshots.restore(verifier.state, history.plugins)
    for sealed in history.records[k:]:
        assert verifier.take(sealed)
    verdict = verifier.verdict()
    assert verdict.ok and verdict.finished and verdict.decisions > 5


@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_what_is_passed_on_from_a_snapshot_is_written_as_it_would_be_without_one(name: str, tmp_path: Path) -> None:
    history = HISTORIES[name]
    state, again = history.fold(history.empty(), history.records), history.empty()
    snapshots = Snapshots(tmp_path)
    snapshots.put(history.run, snapshots.take(state))
    assert snapshots.restore(again, history.plugins)
    # msgspec leaves out what is the default, not what equals it.
    assert msgspec.json.encode(again.trajectory.selected) == msgspec.json.encode(state.trajectory.selected)
    assert msgspec.json.encode(again.trajectory.started) == msgspec.json.encode(state.trajectory.started)
    for one, two in zip(again.trajectory.attempts.values(), state.trajectory.attempts.values(), strict=True):
        for field in ("hypothesis", "recollections", "code", "scored", "feedback"):
            assert msgspec.json.encode(getattr(one, field)) == msgspec.json.encode(getattr(two, field))


def test_whoever_only_shows_a_run_restores_the_fold_without_the_deciders(tmp_path: Path) -> None:
    history = HISTORIES["toy"]
    snapshots = Snapshots(tmp_path)
    snapshots.put("r", snapshots.take(history.fold(history.empty(), history.records)))
    shown = history.empty(deciders=False)
    assert snapshots.restore(shown, ())
    assert state_digest(shown) == state_digest(history.fold(history.empty(), history.records))


def test_open_intents_are_performed_again_with_their_own_view(tmp_path: Path) -> None:
    history = HISTORIES["toy"]
    state = history.empty()
    k = next(k for k, sealed in enumerate(history.records) if len(history.fold(state, [sealed]).open) > 3)
    snapshots = Snapshots(tmp_path)
    snapshots.put("r", snapshots.take(state))
    again = history.empty()
    assert snapshots.restore(again, history.plugins)
    assert again.fresh == list(state.open) and list(again.open) == list(state.open)
    history.fold(again, history.records[k + 1 :])
    for intent, found in state.open.items():
        assert len(found.view.attempts) <= found.event.seq
        assert plain(found.view) == plain(history.fold(history.empty(), history.records[: k + 1]).open[intent].view)


def changed(plugins: tuple[Plugin, ...]) -> tuple[Plugin, ...]:
    """The same plugins, one of which is made of other code."""
    return tuple(dataclasses.replace(p, modules=("json",)) if p.name == "toy-judge" else p for p in plugins)


def test_other_code_makes_a_snapshot_worthless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = HISTORIES["toy"]
    snapshots = Snapshots(tmp_path)
    snapshots.put("r", snapshots.take(history.fold(history.empty(), history.records[:9])))
    assert not snapshots.restore(history.empty(), changed(history.plugins))
    assert not snapshots.restore(RunState("r", history.codec, history.plugins[:-1], history.texts), history.plugins)
    assert snapshots.restore(history.empty(), history.plugins)
    monkeypatch.setattr("gome.kernel.snapshot.kernel_digest", lambda: "another")
    assert not snapshots.restore(history.empty(), history.plugins)


def test_every_flipped_or_missing_byte_makes_a_snapshot_worthless(tmp_path: Path) -> None:
    history = HISTORIES["toy"]
    snapshots = Snapshots(tmp_path)
    path = tmp_path / "r.snapshot"
    snapshots.put("r", snapshots.take(history.fold(history.empty(), history.records[:9])))
    whole = path.read_bytes()
    chosen = random.Random(3)
    for place in (*range(120), *chosen.sample(range(len(whole)), 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chosen.randrange(8))]) + whole[place + 1 :])
        assert not snapshots.restore(history.empty(), history.plugins)
        path.write_bytes(whole[:place])
        assert not snapshots.restore(history.empty(), history.plugins)
    path.write_bytes(whole)
    os.chmod(path, 0o600)
    assert snapshots.restore(history.empty(), history.plugins)


def test_a_snapshot_is_private_and_one_that_others_could_have_written_is_not_read(tmp_path: Path) -> None:
    history = HISTORIES["toy"]
    snapshots = Snapshots(tmp_path / "snapshots")
    snapshots.put("r", snapshots.take(history.fold(history.empty(), history.records[:9])))
    path = tmp_path / "snapshots" / "r.snapshot"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    os.chmod(path, 0o620)
    assert not snapshots.restore(history.empty(), history.plugins)
    os.chmod(path, 0o600)
    os.chmod(path.parent, 0o770)
    assert not snapshots.restore(history.empty(), history.plugins)


class _Call:
    def __reduce__(self) -> Any:
        return os.system, ("touch called",)


@pytest.mark.parametrize("evil", [_Call(), os.path.join, Path("x")])
def test_a_snapshot_calls_no_function_and_makes_nothing_strange(
    tmp_path: Path, evil: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    history = HISTORIES["toy"]
    snapshots = Snapshots(tmp_path)
    state = history.fold(history.empty(), history.records[:9])
    state.cursors[1].state = evil
    snapshots.put("r", snapshots.take(state))
    again = history.empty()
    assert not snapshots.restore(again, history.plugins)
    assert again.head.seq == 0 and not (tmp_path / "called").exists() and not (tmp_path / "r.snapshot").exists()


async def test_a_snapshot_must_lie_on_the_log_s_chain(tmp_path: Path) -> None:
    history, log = await toys()
    other, elsewhere = await toys(steps=4)
    snapshots = Snapshots(tmp_path)

    async def state(log: MemoryLog) -> RunState:
        return await restored(snapshots, log, history.plugins, history.empty)

    for upto in (9, len(history.records)):
        snapshots.put("r", snapshots.take(history.fold(history.empty(), history.records[:upto])))
        assert (await state(log)).head == history.records[upto - 1].head
        assert (await state(elsewhere)).head.seq == 0
        assert (await state(log)).head.seq == 0, "what did not fit was dropped"
    assert other.records[8].hash != history.records[8].hash


class Watched:
    """A log that notes from where it is read."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.reads: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read(self, run: str, after: Head | None = None) -> Any:
        self.reads.append(after.seq if after else 0)
        return self._log.read(run, after)


class Told(Snapshots):
    """Snapshots that say when one has been written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.written = anyio.Event()

    def put(self, run: str, content: bytes) -> None:
        super().put(run, content)
        anyio.from_thread.run_sync(self.written.set)


async def test_a_run_that_is_driven_leaves_snapshots_and_is_taken_up_from_the_last(tmp_path: Path) -> None:
    desk, snapshots = Desk(tmp_path), Told(tmp_path / "snapshots")

    async def hangs(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        if event.payload.attempt == "a3":
            await anyio.sleep_forever()
        return toy._finished(event.payload.attempt)

    first = await desk.session(with_runner(hangs))
    first.camera = Camera(snapshots, first.live.state, every=8)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(first.drive, desk.nonce)
            await snapshots.written.wait()
            group.cancel_scope.cancel()  # no RunSuspended: as good as a crash

    watched: Any = Watched(desk.log)
    codec = codec_for(toy.PLUGINS)

    def empty() -> RunState:
        return RunState("r", codec, toy.PLUGINS, desk.artifacts.text)

    state = await restored(snapshots, watched, toy.PLUGINS, empty)
    live = LiveRun(watched, state, Scribe("r", codec, desk.artifacts, "t"), first.live.time)
    await live.load()
    assert watched.reads and min(watched.reads) >= 8
    second = Session(live, dataclasses.replace(first.shop, plugins=toy.PLUGINS))
    with anyio.fail_after(20):
        await second.drive(desk.nonce, resume=True)
    assert live.state.finished is not None and live.state.finished.outcome == "done"
    verdict = await Verifier("r", codec, toy.PLUGINS, desk.artifacts.text).run(desk.log.read("r"))
    assert verdict.ok and verdict.finished
    whole = empty()
    async for sealed in desk.log.read("r"):
        whole.apply(sealed)
    assert state_digest(live.state) == state_digest(whole)


async def test_commands_that_show_a_run_read_on_from_its_snapshot(tmp_path: Path) -> None:
    history, log = await toys()
    watched, snapshots = Watched(log), Snapshots(tmp_path / "snapshots")
    snapshots.put("r", snapshots.take(history.fold(history.empty(), history.records[:-3])))
    store: Any = MemoryArtifacts()
    logs: Any = (watched, log)
    spool = Spool(tmp_path / "spool")
    connection = Connection(*logs, store, store, spool, tmp_path, RealTime(), "main", snapshots=snapshots)
    state = await folded(connection, "r")
    assert min(watched.reads) == history.records[-4].last and state.events == history.records[-1].last
    assert state_digest(state) == state_digest(history.fold(history.empty(), history.records))


async def test_a_state_that_cannot_be_written_costs_its_snapshots_and_nothing_else(tmp_path: Path) -> None:
    history = HISTORIES["toy"]
    state = history.fold(history.empty(), history.records)
    state.cursors[1].state = lambda: None
    camera = Camera(Snapshots(tmp_path), state, every=1)
    camera._at = 0
    assert camera.due()
    await camera.take()
    assert not camera.due() and list(tmp_path.iterdir()) == []
    with pytest.raises((pickle.PicklingError, AttributeError)):
        Snapshots(tmp_path).take(state)
