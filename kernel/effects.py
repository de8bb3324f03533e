"""Performing intents: at least once, with exactly one recorded result.

The run's log is the outbox: an open intent is one without a result. For each, `Performer.perform` counts the attempts
that the log records, performs, spools the result to disk, appends it with a computed id, and drops the spool; so a
crash at any point either repeats nothing or repeats what the plugin declared repeatable. Used by the run's own process
(`session`) and by workers (`worker`); which intents go where is decided there. What performers share is in `workshop`,
what an effect asks for in turn in `children`.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence

import anyio
import msgspec
import structlog
from anyio import to_thread

from gome.events import (
    AlarmRang,
    AlarmRequested,
    CodecError,
    Cost,
    Draft,
    Draw,
    EffectAttemptFailed,
    EffectCancelled,
    EffectDuplicated,
    EffectFailed,
    EffectStarted,
    EffectYielded,
    Event,
    Intent,
    Occupancy,
    Payload,
    Saying,
    result_id,
    started_id,
)
from gome.kernel.children import caller
from gome.kernel.diagnostics import redact
from gome.kernel.errors import GomeError, PluginError, SandboxUnavailable, UsageError, leaves
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Context, Effect, Plugin, Result, no_history
from gome.kernel.pools import Held, occupy
from gome.kernel.state import OpenIntent
from gome.kernel.workshop import Workshop

BACKOFF = (0.5, 2.0, 8.0)
"""Seconds to wait before the second, third and every further attempt."""
FINAL = (SandboxUnavailable, UsageError, PluginError)
"""Errors that no further attempt would mend."""


class Performer:
    """Performs intents of one live run."""

    def __init__(self, live: LiveRun, shop: Workshop) -> None:
        self.live = live
        self.shop = shop
        self.log = structlog.get_logger("gome.effects").bind(run=live.run)
        self._began: dict[str, int] = {}

    async def perform(self, intent: str) -> None:
        """Bring an open intent to its result. Returns when it has one, whoever wrote it."""
        found = self.live.state.open.get(intent)
        if found is None:
            return
        if isinstance(found.event.payload, AlarmRequested):
            await self._alarm(found.event, found.event.payload)
            return
        performer = self.shop.performer(found.event.type, found.event.by)
        if performer is None:
            why = f"no plugin here performs it; a plugin that asks for {found.event.type} names its role in `needs`"
            await self._result(found, "kernel", self._failed(found, 0, why))
            return
        plugin, effect = performer
        with self.live.until_settled(intent) as scope:
            await self._attempts(found, plugin, effect)
        # Called off before it began, there may have been nothing to interrupt.
        if (scope.cancelled_caught or found.cancel) and self.live.state.is_open(intent):
            reason = found.cancel or "cancelled"
            attempt = _attempt(found.event)
            gone = EffectCancelled(intent=intent, kind=found.event.type, reason=reason, attempt=attempt)
            await self._result(found, plugin, gone)

    async def _attempts(self, found: OpenIntent, plugin: Plugin, effect: Effect) -> None:
        intent = found.event.id
        spooled = self.shop.spool.get(self.live.run, intent)
        if spooled is not None:
            draft = msgspec.msgpack.decode(spooled, type=Draft)
            await self._append_result(found, plugin, draft, spooled=True)
            return
        asked = found.event.payload
        wish = asked.occupies() if effect.pool and isinstance(asked, Intent) else None
        among: tuple[str, ...] = ()
        if wish and wish.accelerator and plugin.devices is not None:
            try:
                among = tuple(await to_thread.run_sync(plugin.devices))
            except (Exception, SystemExit) as error:
                told = f"{plugin.name} could not say which devices there are: {type(error).__name__}: {error}"
                await self._gave_up(found, plugin, 1, PluginError(told))
                return
        async with self._occupied(wish, among) as held:
            while self.live.state.is_open(intent) and not found.cancel:
                number = max(found.starts, found.failures) + 1
                tried = number - found.forgiven
                if tried > effect.attempts or (effect.policy == "at_most_once" and found.starts):
                    why = "its outcome is unknown" if effect.policy == "at_most_once" else "no attempt came to an end"
                    await self._result(found, plugin, self._failed(found, number - 1, why))
                    return
                if number > 1 and found.failures:
                    await self.live.time.sleep(BACKOFF[min(number - 2, len(BACKOFF) - 1)])
                if effect.policy != "repeatable":
                    await self._started(found, plugin, number)
                if await self._once(found, plugin, effect, number, held):
                    return

    def _occupied(self, wish: Occupancy | None, among: Sequence[str]) -> contextlib.AbstractAsyncContextManager[Held]:
        """Wait for what is wished for of this machine and hold it."""
        if wish is None:
            return contextlib.nullcontext(Held())
        return occupy(self.shop.cores, self.shop.devices, wish, among)

    async def _once(self, found: OpenIntent, plugin: Plugin, effect: Effect, number: int, held: Held) -> bool:
        assert plugin.perform is not None
        ctx = self._context(found, plugin, number, held)
        try:
            answer = await plugin.perform(found.event, ctx)
        except FINAL as error:
            return await self._gave_up(found, plugin, number, error)
        except (Exception, SystemExit) as error:  # a plugin that exits must not take the run with it
            text = redact("; ".join(f"{type(leaf).__name__}: {leaf}{_place(leaf, plugin)}" for leaf in leaves(error)))
            self.log.warning("attempt failed", kind=found.event.type, attempt=number, error=text)
            self.log.debug("traceback", trace=redact("".join(traceback.format_exception(error))))
            if number >= effect.attempts:
                await self._result(found, plugin, self._failed(found, number, text))
                return True
            await self._attempt_failed(found, plugin, number, text)
            return False
        result = answer if isinstance(answer, Result) else Result(answer)
        try:
            said = self._said(found, result.payload, result.cost)
        except CodecError as error:
            return await self._gave_up(found, plugin, number, error, result.cost)
        await self._record(found, plugin, said, effect)
        return True

    async def _gave_up(
        self, found: OpenIntent, plugin: Plugin, number: int, error: Exception, cost: Cost | None = None
    ) -> bool:
        """An error that another attempt would meet again."""
        text = redact(str(error))
        self.log.warning("effect failed", kind=found.event.type, plugin=plugin.name, error=text)
        await self._record(found, plugin, self._said(found, self._failed(found, number, text), cost))
        return True

    def _context(self, found: OpenIntent, plugin: Plugin, number: int, held: Held) -> Context:
        state = self.live.state
        started = state.started
        assert started is not None, "an intent cannot come before RunStarted"
        intent = found.event.id
        workdir = self.shop.home / "work" / self.live.run / intent[:16]
        elsewhere = self.shop.elsewhere if plugin.role == "memory" else None
        return Context(
            run=self.live.run,
            intent=found.event,
            attempt=number,
            started=started,
            trajectory=found.view,
            settings=started.settings.get(plugin.name, {}),
            artifacts=self.shop.artifacts,
            workdir=workdir,
            home=self.shop.home,
            draw=Draw(started.seed, intent),
            call=caller(self.live, found, plugin),
            cancelled=lambda: bool(found.cancel) or not state.is_open(intent),
            history=self.shop.history if plugin.role == "completion" else no_history,
            occurrence=found.occurrence,
            log=self.log.bind(event_id=intent, causation_id=found.event.cause, correlation_id=found.event.corr),
            deadline=self.live.seconds_left(),
            slot=held.cores,
            gpu=held.device,
            vault=self.shop.vault(self.live.run, intent) if plugin.role == "scorer" else None,
            elsewhere=(lambda: elsewhere(self.live.run, started.task)) if elsewhere else None,
            unsafe=self.shop.unsafe,
        )

    def _failed(self, found: OpenIntent, attempts: int, error: str) -> EffectFailed:
        event = found.event
        return EffectFailed(
            intent=event.id, kind=event.type, attempts=attempts, error=error[:2000], attempt=_attempt(event)
        )

    async def _started(self, found: OpenIntent, plugin: Plugin, number: int) -> None:
        event = found.event
        begun = EffectStarted(intent=event.id, kind=event.type, attempt=number, worker=self.shop.process)
        await self._note(found, plugin, number, "started", begun)
        self._began[event.id] = number

    async def give_back(self, intent: str) -> None:
        """Say that the attempt at an intent was broken off because its worker stops, if one had begun: it does not
        count against the intent."""
        found = self.live.state.open.get(intent)
        number = self._began.pop(intent, 0)
        if found is None or not number:
            return
        performer = self.shop.performer(found.event.type, found.event.by)
        assert performer is not None, "it has begun, so somebody performs it"
        back = EffectYielded(intent=intent, kind=found.event.type, attempt=number, worker=self.shop.process)
        await self._note(found, performer[0], number, "yielded", back)

    async def _attempt_failed(self, found: OpenIntent, plugin: Plugin, number: int, error: str) -> None:
        event = found.event
        failed = EffectAttemptFailed(intent=event.id, kind=event.type, attempt=number, error=error[:2000])
        await self._note(found, plugin, number, "failed", failed)

    async def _note(self, found: OpenIntent, plugin: Plugin, number: int, what: str, payload: Payload) -> None:
        event, state = found.event, self.live.state
        said = state.codec.saying(started_id(event.id, number, what), payload, cause=event.id, corr=event.corr)
        draft = self.live.scribe.draft("effect", plugin, event.id, [said], decider=plugin.name, attempt=number)
        await self.live.commit(draft, still=lambda: state.is_open(event.id))

    async def _result(self, found: OpenIntent, who: Plugin | str, payload: Payload) -> None:
        await self._record(found, who, self._said(found, payload))

    def _said(self, found: OpenIntent, payload: Payload, cost: Cost | None = None) -> Saying:
        event = found.event
        return self.live.state.codec.saying(result_id(event.id), payload, cause=event.id, corr=event.corr, cost=cost)

    async def _record(self, found: OpenIntent, who: Plugin | str, said: Saying, effect: Effect | None = None) -> None:
        """Spool, append, drop the spool."""
        event = found.event
        number = max(found.starts, found.failures + 1)
        draft = self.live.scribe.draft("effect", who, event.id, [said], attempt=number)
        # A crash between here and the append repeats what is repeatable; what has cost something must not be lost.
        spooled = said.cost is not None or (effect is not None and effect.policy != "repeatable")
        if spooled:
            self.shop.spool.put(self.live.run, event.id, msgspec.msgpack.encode(draft))
        await self._append_result(found, who, draft, spooled=spooled)

    async def _append_result(self, found: OpenIntent, who: Plugin | str, draft: Draft, *, spooled: bool) -> None:
        event, state = found.event, self.live.state
        # A result that has been worked for is never lost to a cancellation that comes while it is being written.
        with anyio.CancelScope(shield=True):
            done = await self.live.commit(draft, still=lambda: state.is_open(event.id))
            # A result of somebody else has the same id, so an append that comes too late may look like one that landed.
            if (done is None or done.body.writer != draft.writer) and state.finished is None:
                await self._duplicate(found, who, draft.sayings[0])
            self._began.pop(event.id, None)
            if spooled:
                self.shop.spool.drop(self.live.run, event.id)

    async def _duplicate(self, found: OpenIntent, who: Plugin | str, said: Saying) -> None:
        """Somebody else's result counts; what ours cost must not be forgotten."""
        if said.cost is None:
            return
        event, state = found.event, self.live.state
        payload = EffectDuplicated(intent=event.id, kind=event.type)
        id = started_id(event.id, 0, f"duplicate/{self.shop.process}")
        extra = state.codec.saying(id, payload, cause=event.id, corr=event.corr, cost=said.cost)
        await self.live.commit(self.live.scribe.draft("effect", who, event.id, [extra]))

    async def _alarm(self, event: Event, alarm: AlarmRequested) -> None:
        while self.live.state.is_open(event.id) and (left := alarm.at - self.live.active_now()) > 0:
            await self.live.time.sleep(left)
        found = self.live.state.open.get(event.id)
        if found is not None:
            said = self.live.state.codec.saying(
                result_id(event.id), AlarmRang(name=alarm.name, at=alarm.at), cause=event.id, corr=event.corr
            )
            draft = self.live.scribe.draft("effect", "kernel", event.id, [said])
            await self.live.commit(draft, still=lambda: self.live.state.is_open(event.id))


def _attempt(event: Event) -> str:
    """The attempt an intent belongs to, for events that name it ("" where it has none)."""
    return str(getattr(event.payload, "attempt", ""))


def _place(error: BaseException, plugin: Plugin) -> str:
    """Where in a plugin's own source an error came up, as module and line; "" for errors that say enough."""
    if isinstance(error, GomeError):
        return ""
    names = plugin.modules or (getattr(plugin.perform, "__module__", ""),)
    packages = {name.partition(".")[0] for name in names if name}
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in packages:
            place = f" ({module}, line {line})"
    return place
