"""From what is to be played to a run on the virtual clock: its first event as `gome run` would write it, its log in
memory. One `Stage` per process: plugins and settings are found once, tasks are prepared once per world."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gome.events import ROOT, Budget, RunStarted, Sealed, Task, digest_of, event_id
from gome.kernel.appender import TENANT, Scribe
from gome.kernel.connect import Connection
from gome.kernel.discovery import OPTIONAL_ROLES, RUN_ROLES, Found, choose, codec_for, discover, pin
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.replay import Verdict, Verifier
from gome.kernel.request import DEFAULT_PROFILE, Request, environment, prepare, resolve_settings, task_with_artifacts
from gome.kernel.settings import Settings, load
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.tasks import TaskOptions
from gome.kernel.timekeeping import VirtualTime
from gome.plugins.bench.world.performing import Hands, Missing
from gome.plugins.bench.world.playing import Player
from gome.plugins.bench.world.store import Store

INFLUENTIAL = ("python", "machine", "numpy", "pandas", "scikit-learn", "lightgbm")
"""What the answers of a world depend on. Torch is not among them: a world holds programs of CPU seconds, and where a
run knows of no torch nobody proposes a network."""


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run to be played. `settings` is what a settings file would say: roles (`search = "aide"`), tables of plugins
    and `profile`. The budget's seconds are virtual; `slots` programs run at once, and as many steps are in flight."""

    task: str
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    seed: int = 0
    split_seed: int = 0
    budget: Budget = Budget()
    traces: int = 3
    slots: int = 2

    @property
    def digest(self) -> str:
        """The digest of what is asked for; its run is named by it, so the same part has the same log anywhere."""
        return digest_of(msgspec.json.encode(self, order="deterministic"))


def surroundings() -> dict[str, str]:
    """The versions that a world recorded here depends on."""
    return {name: version for name, version in environment().items() if name in INFLUENTIAL}


def resolved(part: Part, found: Iterable[Found], home: Path) -> tuple[Settings, list[Plugin], dict[str, Any]]:
    """The settings of a part, its plugins and their tables. Raises `UsageError` and `PluginError`."""
    given = {"home": str(home), **part.settings}
    settings = load(flags=given, environ={}, folder=home, said_by="what the suite sets")
    plugins = choose(found, settings.roles, extra=["baseline"])
    request = Request(spec=part.task, named=settings.roles, settings=settings.plugins)
    return settings, plugins, resolve_settings(plugins, request, settings)


@dataclass
class Stage:
    """Where parts are played: a store, the hands that fill it, and a home folder for what programs leave."""

    store: Store
    home: Path
    cores: int = 1
    live: bool = True
    hands: Hands = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.hands = Hands(self.store, self.home, self.cores, self.live)
        self._found = discover()

    async def play(self, part: Part) -> Player:
        """Play a part from its start to its end."""
        player = await self.begin(part)
        await player.play()
        return player

    async def begin(self, part: Part) -> Player:
        """A run that has been started and where nothing has been decided yet."""
        settings, plugins, tables = resolved(part, self._found, self.home)
        started = RunStarted(
            task=self.task(part.task, part.split_seed),
            seed=part.seed,
            budget=part.budget,
            traces=part.traces,
            capacity=part.slots,
            profile=settings.profile or DEFAULT_PROFILE,
            plugins=tuple(pin(p) for p in plugins),
            roles={p.role: p.name for p in reversed(plugins) if p.role in (*RUN_ROLES, *OPTIONAL_ROLES)},
            settings=tables,
            environment=self.store.environment,
        )
        run = f"{started.task.name}-{part.digest.removeprefix('sha256-')[:12]}"
        clock = VirtualTime()
        codec = codec_for(plugins)
        state = RunState(run, codec, plugins, self.hands.artifacts.text)
        scribe = Scribe(run, codec, self.hands.artifacts, "world")
        live = LiveRun(MemoryLog(clock=clock.now), state, scribe, clock)
        id = event_id(ROOT, "client", 0)
        await live.commit(scribe.draft("control", "client", ROOT, [codec.saying(id, started, corr=id)]))
        return Player(live, clock, self.hands, part.slots)

    def task(self, name: str, split_seed: int) -> Task:
        """A prepared task; its tables are in the artifacts of this home, or, for a world from a file, nowhere."""
        known = self.store.subject(name, split_seed)
        if known is not None and (not self.live or self.hands.artifacts.has(known.train.digest)):
            return known
        if not self.live:
            held = ", ".join(f"{name} ({seed})" for name, seed in sorted(self.store.subjects)) or "none"
            raise Missing(
                f"the world does not hold task {name} with split seed {split_seed}; it holds {held}. Without --world "
                "and --recorded what is missing is executed"
            )
        request = Request(spec=name, options=TaskOptions(split_seed=split_seed or None))
        prepared, findings = prepare(request, self.home)
        try:
            with contextlib.closing(Spool(self.home / "spool")) as spool:
                task = task_with_artifacts(self._connection(spool), prepared, findings)
        finally:
            shutil.rmtree(next(iter(prepared.files.values())).parent, ignore_errors=True)
        self.store.introduce(name, split_seed, task)
        return task

    def _connection(self, spool: Spool) -> Connection:
        hands, clock = self.hands, VirtualTime()
        return Connection(MemoryLog(), MemoryLog(), hands.artifacts, hands.hidden, spool, self.home, clock, TENANT)


async def records(player: Player) -> list[Sealed]:
    """The log of a played run."""
    return [sealed async for sealed in player.live.log.read(player.live.run)]


async def verified(player: Player) -> Verdict:
    """What verifying a played run finds: every decision is computed again from the log."""
    live = player.live
    plugins: list[Plugin] = [cursor.plugin for cursor in live.state.cursors]
    verifier = Verifier(live.run, live.state.codec, plugins, live.state.resolve)
    return await verifier.run(live.log.read(live.run))
