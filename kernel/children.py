"""What an effect asks for while it is performed: child intents, each entered into the log and awaited there.

`effects` hands `caller` to a plugin as `context.call`. Who performs the children, and how, is decided where every
intent's performer is (`session`, `worker`, `effects`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from gome.events import EffectCancelled, EffectFailed, EffectRefused, Intent, Ledger, Payload, child_id, started_id
from gome.kernel.errors import ChildEffectFailed
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Plugin
from gome.kernel.state import OpenIntent


def caller(live: LiveRun, found: OpenIntent, plugin: Plugin) -> Callable[[Intent], Any]:
    """`context.call` for one attempt: child intents are numbered per argument digest, so that an attempt made
    again after a crash meets the results of the one before."""
    asked: Counter[str] = Counter()
    state = live.state
    parent = found.event

    async def call(child: Intent) -> Payload:
        digest = state.codec.argument_digest(child)
        id = child_id(parent.id, digest, asked[digest])
        asked[digest] += 1
        if id not in found.children and not state.is_open(id):
            said = state.codec.saying(id, child, cause=parent.id, corr=parent.corr)
            draft = live.scribe.draft("effect", plugin, parent.id, [said], decider=f"effect:{parent.type}")
            refusal = ""

            def wanted() -> bool:
                # Asked under the run's lock, so that no other intent of this process comes in between.
                nonlocal refusal
                refusal = _refusal(state.ledger, child)
                return not refusal and state.is_open(parent.id) and not state.is_open(id)

            while await live.commit(draft, still=wanted) is None and refusal:
                if state.ledger.over() or not state.ledger.may_fit(child.reserves()):
                    await _refused(live, found, plugin, id, child)
                    raise ChildEffectFailed(f"{type(child).__name__} refused: {refusal}")
                # What is in flight holds the rest and may give some of it back.
                await live.changed(lambda: _refusal(state.ledger, child) != refusal or not state.is_open(parent.id))
        await live.changed(lambda: id in found.children or not state.is_open(parent.id))
        if id not in found.children:
            raise ChildEffectFailed(f"{type(child).__name__} was called off with the effect that asked for it")
        payload = found.children[id].payload
        if isinstance(payload, EffectFailed):
            raise ChildEffectFailed(f"{payload.kind} failed after {payload.attempts} attempts: {payload.error}")
        if isinstance(payload, EffectCancelled):
            raise ChildEffectFailed(f"{payload.kind} was cancelled: {payload.reason}")
        assert isinstance(payload, Payload)
        return payload

    return call


async def _refused(live: LiveRun, found: OpenIntent, plugin: Plugin, id: str, child: Intent) -> None:
    """Record that the budget has no room for a child, so that the run can end instead of asking again."""
    event, ledger = found.event, live.state.ledger
    if (lacking := ledger.lacks(child.reserves())) is None:
        return  # a limit is used up, which the log says already
    name, wanted, _ = lacking
    allowed = float(getattr(ledger.budget, name))
    payload = EffectRefused(event.id, type(child).__name__, name, wanted, round(ledger.spent(name), 6), allowed)
    said = live.state.codec.saying(started_id(id, 0, "refused"), payload, cause=event.id, corr=event.corr)
    draft = live.scribe.draft("effect", plugin, event.id, [said])
    await live.commit(draft, still=lambda: live.state.is_open(event.id))


def _refusal(ledger: Ledger, intent: Intent) -> str:
    """Why the budget has no room for an intent; "" when it has."""
    if over := ledger.over():
        return f"the budget of {over[0]} is used up"
    if lacking := ledger.lacks(intent.reserves()):
        name, wanted, left = lacking
        return f"it may use {wanted:g} of the budget of {name}, and {left:g} are left beside what is in flight"
    return ""
