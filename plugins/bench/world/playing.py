"""Playing a run on the virtual clock: the dispatcher of `gome.kernel.session` in a world where time is told.

All deciders are the run's own. What is recorded is answered by `performing.Hands`, an execution after its CPU seconds
on one of the virtual slots, everything else after a fixed time; what thinks is done here when that time has come, its
child intents at the same instant. Nothing depends on how long anything really takes, so a run is a function of its
plugins, its first event and the store: played again it is the same log, byte by byte, and it verifies.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import anyio
import structlog

from gome.events import (
    AlarmRang,
    AlarmRequested,
    Draw,
    EffectCancelled,
    EffectFailed,
    ExecutionRequested,
    Intent,
    Payload,
    RunStarted,
    child_id,
    result_id,
)
from gome.kernel.cursor import Answer as Decision
from gome.kernel.errors import ChildEffectFailed, GomeError
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Context, Plugin, Result
from gome.kernel.state import OpenIntent, RunState
from gome.kernel.timekeeping import VirtualTime
from gome.plugins.bench.world.asking import is_recorded
from gome.plugins.bench.world.clock import Agenda
from gome.plugins.bench.world.performing import Hands, Missing

THINKING = 0.01
"""Virtual seconds of every effect that is no execution."""


@dataclass
class Player:
    """One run being played. `grades` are the hidden grades of its attempts (score, standard error), which only whoever
    measures the run looks at."""

    live: LiveRun
    clock: VirtualTime
    hands: Hands
    slots: int
    grades: dict[str, tuple[float, float]] = field(default_factory=dict)
    _agenda: Agenda = field(init=False)
    _seen: set[str] = field(default_factory=set)
    _results: dict[str, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._agenda = Agenda(self.slots)

    @property
    def state(self) -> RunState:
        """The fold of the run so far."""
        return self.live.state

    async def play(self) -> None:
        """Decide and answer until the run is finished. Raises `GomeError` where a decider raises, or where nothing is
        left to happen in a run that has not ended."""
        while self.state.finished is None:
            while (decision := self.state.answer()) is not None:
                await self._decide(decision)
            if self.state.finished is not None:
                return
            if await self._call_off():
                continue
            self._take_up()
            await self._start()
            if (due := self._agenda.next()) is None:
                raise GomeError(f"run {self.live.run} has come to rest without an end: no intent is open")
            when, intent = due
            self.clock.current = max(self.clock.current, when)
            if self.state.is_open(intent):
                await self._settle(intent)

    async def _decide(self, decision: Decision) -> None:
        name = decision.plugin.name
        if decision.error:
            raise GomeError(f"run {self.live.run}: decider {name} raised {decision.error}\n{decision.trace}")
        sayings = decision.sayings(self.state.codec)
        draft = self.live.scribe.draft(
            "decide", decision.plugin, decision.trigger.id, sayings, seen=decision.seen, flags=decision.flags
        )
        await self.live.commit(draft)

    async def _call_off(self) -> bool:
        """Say of every intent that was cancelled that it is; whether there were any."""
        gone = [(id, found) for id, found in self.state.open.items() if found.cancel]
        for id, found in gone:
            self._agenda.drop(id)
            kind, attempt = found.event.type, str(getattr(found.event.payload, "attempt", ""))
            await self._say(id, found, EffectCancelled(intent=id, kind=kind, reason=found.cancel, attempt=attempt))
        return bool(gone)

    def _take_up(self) -> None:
        """Enter what has opened since into the agenda."""
        now = self.clock.current
        for id in self.state.fresh:
            if id in self._seen or not self.state.is_open(id):
                continue
            self._seen.add(id)
            found = self.state.open[id]
            payload = found.event.payload
            if isinstance(payload, AlarmRequested):
                self._agenda.at(id, now + max(0.0, payload.at - self.live.active_now()))
            elif isinstance(payload, ExecutionRequested):
                self._agenda.queue(id)
            else:
                self._agenda.at(id, now + THINKING)
        self.state.fresh.clear()

    async def _start(self) -> None:
        """Give free slots to those in line. How long each takes must be known before the clock may go on, so what was
        never executed is executed now, all of it at once."""
        startable = self._agenda.startable()
        seconds: dict[str, float] = {}

        async def know(id: str) -> None:
            seconds[id] = await self._look_up(id)

        async with anyio.create_task_group() as group:
            for id in startable:
                group.start_soon(know, id)
        for id in startable:
            self._agenda.start(id, self.clock.current, seconds[id])

    async def _look_up(self, id: str) -> float:
        """Have the result of an execution ready and return the seconds that it takes."""
        found = self.state.open[id]
        _, self._results[id] = await self._recorded(found, self._performer(found))
        return float(getattr(self._results[id].payload, "seconds", THINKING))

    async def _recorded(self, found: OpenIntent, plugin: Plugin) -> tuple[str, Result]:
        answer, result = await self.hands.answer(
            plugin, found.event, self.live.run, self._started(), found.view, self.state.codec
        )
        if answer.hidden is not None and getattr(found.event.payload, "purpose", "full") in ("full", "rerun"):
            self._graded(found, answer.hidden, answer.hidden_se or 0.0)
        return answer.key, result

    def _graded(self, found: OpenIntent, score: float, se: float) -> None:
        """Remember an attempt's own grade: of its full execution, or of what was handed in; not of a candidate's
        rerun."""
        asked = found.event.payload
        if getattr(asked, "purpose", "") == "full" or getattr(asked, "final", False):
            self.grades[str(getattr(asked, "attempt", ""))] = (score, se)

    def _started(self) -> RunStarted:
        started = self.state.started
        assert started is not None, "an intent cannot come before RunStarted"
        return started

    def _performer(self, found: OpenIntent) -> Plugin:
        kind, by = found.event.type, found.event.by
        able = [c.plugin for c in self.state.cursors if any(e.intent.__name__ == kind for e in c.plugin.effects)]
        if not able:
            raise GomeError(f"run {self.live.run}: no plugin of it performs {kind}")
        return next((p for p in able if p.name == by), able[0])

    async def _settle(self, id: str) -> None:
        """Record the result of an intent whose time has come."""
        found = self.state.open[id]
        payload = found.event.payload
        if isinstance(payload, AlarmRequested):
            await self._say(id, found, AlarmRang(name=payload.name, at=payload.at))
            return
        result = self._results.pop(id, None) or await self._result(found)
        await self._say(id, found, result)

    async def _result(self, found: OpenIntent) -> Result:
        plugin = self._performer(found)
        if is_recorded(plugin):
            return (await self._recorded(found, plugin))[1]
        assert plugin.perform is not None
        try:
            answer = await plugin.perform(found.event, self._context(found, plugin))
        except Missing:
            raise
        except Exception as error:  # a plugin of anybody; in a real run, too, its failure is an event
            attempt = str(getattr(found.event.payload, "attempt", ""))
            told = f"{type(error).__name__}: {error}"[:2000]
            return Result(EffectFailed(found.event.id, found.event.type, 1, told, attempt))
        return answer if isinstance(answer, Result) else Result(answer)

    async def _say(self, id: str, found: OpenIntent, result: Payload | Result) -> None:
        result = result if isinstance(result, Result) else Result(result)
        event, codec = found.event, self.state.codec
        said = codec.saying(result_id(id), result.payload, cause=id, corr=event.corr, cost=result.cost)
        who: Plugin | str = "kernel" if isinstance(event.payload, AlarmRequested) else self._performer(found)
        draft = self.live.scribe.draft("effect", who, id, [said], attempt=1)
        await self.live.commit(draft, still=lambda: self.state.is_open(id))

    def _context(self, found: OpenIntent, plugin: Plugin) -> Context:
        """What a thinking effect is handed, as in a real run."""
        started, hands, id = self._started(), self.hands, found.event.id
        asked: Counter[str] = Counter()
        parent = found.event

        async def call(child: Intent) -> Payload:
            digest = self.state.codec.argument_digest(child)
            name = child_id(parent.id, digest, asked[digest])
            asked[digest] += 1
            said = self.state.codec.saying(name, child, cause=parent.id, corr=parent.corr)
            draft = self.live.scribe.draft("effect", plugin, parent.id, [said], decider=f"effect:{parent.type}")
            await self.live.commit(draft)
            self._seen.add(name)
            await self._settle(name)
            payload = found.children[name].payload
            if isinstance(payload, EffectFailed):
                raise ChildEffectFailed(f"{payload.kind} failed: {payload.error}")
            assert isinstance(payload, Payload)
            return payload

        return Context(
            run=self.live.run,
            intent=parent,
            attempt=1,
            started=started,
            trajectory=found.view,
            settings=started.settings.get(plugin.name, {}),
            artifacts=hands.artifacts,
            workdir=hands.home / "work" / self.live.run / id[:16],
            home=hands.home,
            draw=Draw(started.seed, id),
            call=call,
            cancelled=lambda: False,
            log=structlog.get_logger("gome.world").bind(run=self.live.run),
            deadline=self.live.seconds_left(),
        )
