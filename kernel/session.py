"""Driving one run: append what its deciders say, perform or relay what they ask for, until it ends.

This is the live twin of `replay`: the same `RunState` names the decisions that are due; here they are appended instead
of compared. The process that drives a run holds its owner lock. Starting and resuming are in `start`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import structlog

from gome.events import (
    CodecError,
    DeciderFailed,
    Payload,
    RunResumed,
    RunSuspended,
    StopRequested,
    command_id,
)
from gome.kernel.cursor import Answer
from gome.kernel.effects import Performer
from gome.kernel.errors import GomeError
from gome.kernel.live import LiveRun

if TYPE_CHECKING:
    from gome.kernel.relay import Relay
    from gome.kernel.snapshot import Camera
    from gome.kernel.workshop import Workshop


class DeciderRaised(GomeError):
    """A decider raised twice on one event; the run is suspended and can be resumed with mended code."""


class Session:
    """One run, driven by this process. `relay` makes what carries intents of roles that are pinned to `queue`, given
    who is told when no worker takes them; it is called only when there are such roles; `camera`, where there is one,
    takes snapshots. `tell` shows a person a sentence that is no event; by default it is a diagnostic."""

    def __init__(
        self, live: LiveRun, shop: Workshop, relay: Callable[[Callable[[str], None]], Relay] | None = None
    ) -> None:
        self.live = live
        self.shop = shop
        self.relay: Relay | None = None
        self._make_relay = relay
        self.performer = Performer(live, shop)
        self.camera: Camera | None = None
        self.tell: Callable[[str], None] = lambda text: self.log.warning(text)
        self.log = structlog.get_logger("gome.session").bind(run=live.run)
        self._begun: set[str] = set()
        self._suspending: str = ""
        self._suspended_by_us = False

    async def drive(self, nonce: Callable[[], str], *, resume: bool = False, reason: str = "") -> None:
        """Decide and perform until the run is finished or suspended. `nonce` makes ids for commands of our own. With
        `resume` the log says first that somebody goes on, and why, which keeps the gap out of the active time."""
        state = self.live.state
        raised: Answer | None = None
        self._tidy_spool()
        if resume:
            await self.command(RunResumed(reason=reason), nonce(), resumes=True)
        async with anyio.create_task_group() as group:
            group.start_soon(self.live.follow)
            if self._make_relay and state.started and "queue" in state.started.performers.values():
                self.relay = self._make_relay(lambda text: self.tell(text))
                group.start_soon(self.relay.keep)
            if state.started is not None and state.finished is None:
                self.shop.prepare(state.started, lambda role: self._place(role) == "local")
            while True:
                answer = state.answer()
                ending = bool(self._suspending) or state.finished is not None or state.suspended != ""
                if answer is not None and (answer.error or not ending):
                    raised = await self._decide(answer)
                if raised is not None:
                    await self._decider_failed(raised, nonce())
                    break
                if ending:
                    break
                self._begin(group)
                if state.answer() is None and state.finished is None:
                    if self.camera is not None and self.camera.due():
                        group.start_soon(self.camera.take)
                    seen = state.head.seq
                    await self.live.changed(lambda seen=seen: state.head.seq != seen or bool(self._suspending))  # type: ignore[misc]
            group.cancel_scope.cancel()
        if self.relay is not None:
            await self.relay.queue.close()
        if self.camera is not None and self.camera.due(at_the_end=True):
            await self.camera.take()
        if raised is not None:
            raise DeciderRaised(
                f"run {self.live.run}, event {raised.trigger.seq} ({raised.trigger.type}): decider "
                f"{raised.plugin.name} raised {raised.error}; the run is suspended, mend the plugin and "
                f"`gome run --resume {self.live.run}`"
            )
        if self._suspending and state.finished is None and not state.suspended:
            await self.command(RunSuspended(reason=self._suspending), nonce())

    def _tidy_spool(self) -> None:
        """Drop results that had been appended when their process died before it could drop them."""
        spool, run = self.shop.spool, self.live.run
        left = spool.pending(run)
        for intent, _ in left.results:
            if not self.live.state.is_open(intent):
                spool.drop(run, intent)
        for path in left.torn:
            self.log.warning("a spooled result is not whole; its effect is performed again", file=str(path))

    async def _decide(self, answer: Answer) -> Answer | None:
        """Append one decision, unless a copy of its decider has done so meanwhile. Returns the answer where there is
        nothing to append: its decider raised, or said what no record may hold."""
        if answer.error:
            return answer
        try:
            sayings = answer.sayings(self.live.state.codec)
        except CodecError as error:
            return replace(answer, error=f"{type(error).__name__}: {error}")
        cursor = next(c for c in self.live.state.cursors if c.plugin is answer.plugin)
        draft = self.live.scribe.draft(
            "decide",
            answer.plugin,
            answer.trigger.id,
            sayings,
            seen=answer.seen,
            flags=answer.flags,
        )
        await self.live.commit(draft, still=lambda: cursor.holds(answer))
        return None

    def _begin(self, group: anyio.abc.TaskGroup) -> None:
        """Start performing (or relay) every open intent that has not been begun by this process."""
        state = self.live.state
        fresh = [i for i in state.fresh if state.is_open(i)]
        state.fresh.clear()
        for intent in fresh:
            if intent in self._begun:
                continue
            self._begun.add(intent)
            event = state.open[intent].event
            kind = event.type
            found = self.shop.performer(kind, event.by)
            role = found[0].role if found else ""
            if self._place(role) == "queue" and self.relay is not None:
                group.start_soon(self.relay.carry, self.live, role, kind, intent)
            else:
                group.start_soon(self.performer.perform, intent)

    def _place(self, role: str) -> str:
        """Where intents of a role are performed."""
        started = self.live.state.started
        return started.performers.get(role, "local") if started else "local"

    async def command(self, payload: Payload, nonce: str, *, resumes: bool = False) -> None:
        """Append a control event of our own."""
        said = self.live.state.codec.saying(command_id(nonce), payload)
        await self.live.commit(self.live.scribe.draft("control", "client", nonce, [said], resumes=resumes))

    def suspend(self, reason: str) -> None:
        """Leave the run open and come to rest: executions are cancelled here, `drive` appends RunSuspended and
        returns."""
        self._suspending = reason
        self.live.nudge()

    async def stop(self, reason: str, nonce: str) -> None:
        """Ask the run to end with what it has."""
        await self.command(StopRequested(reason=reason), nonce)

    async def _decider_failed(self, answer: Answer, nonce: str) -> None:
        codec = self.live.state.codec
        failed = DeciderFailed(
            decider=answer.plugin.name, trigger=answer.trigger.id, error=answer.error, traceback=answer.trace[-8000:]
        )
        rest = RunSuspended(reason=f"decider {answer.plugin.name} raised {answer.error}")
        sayings = [
            codec.saying(command_id(f"{nonce}/failed"), failed, cause=answer.trigger.id, corr=answer.trigger.corr),
            codec.saying(command_id(f"{nonce}/rest"), rest),
        ]
        await self.live.commit(self.live.scribe.draft("control", "kernel", nonce, sayings))
