"""Which memories a step is told: the interaction kernel, by two rules.

Both give a memory j of score s_j and similarity sim_j to the trace's latest idea, on a path of L accepted attempts
whose best score is s*, the logit

    clamp(sim_j · exp(−L · ln 2 / 30) + tanh(d · (s_j − s*)), ±2),        d = +1 if greater is better, else −1

`published` is that formula as it was used, with its habits: scores rounded to three decimals, the second term off
without an accepted score, at most three memories, of which the first is the best and the others are the *oldest* of
the union of draws. `robust` replaces the second term by tanh(normalised gain), so that the metric's scale does not
matter, and draws without replacement in proportion to the weights (Gumbel's trick), best first; failures that taught
something may follow the successes. The weights that come out are recorded, so replay never computes them again.
"""

from __future__ import annotations

import math
from typing import cast

from anyio import to_thread

from gome.events import Draw, Event, MemoryRecalled, RecallRequested, Recollection, Trajectory
from gome.events.memory import Memory, SuccessMemory
from gome.kernel.plugin import Context
from gome.plugins.memory.kernel.settings import Settings, read_settings
from gome.plugins.memory.kernel.similarity import cosine

HALF_LIFE = 30
"""Accepted attempts on the path after which similarity counts half."""
CLAMP = 2.0
_SHOWN = 2
"""Draws that the published rule keeps beside the best."""


async def recall(event: Event, ctx: Context) -> MemoryRecalled:
    """Perform a `RecallRequested`."""
    asked = cast(RecallRequested, event.payload)
    settings = read_settings(ctx.settings)
    published = settings.rule == "published"

    def work() -> tuple[Recollection, ...]:
        memory = SuccessMemory.of(ctx.trajectory)
        if published:
            return _published(memory, asked, ctx.trajectory, settings, ctx.draw)
        return _robust(memory, asked, ctx.trajectory, settings, ctx.draw)

    return MemoryRecalled(attempt=asked.attempt, recollections=await to_thread.run_sync(work))


def path(trajectory: Trajectory, trace: int) -> tuple[int, float | None]:
    """Return how many accepted attempts a trace has and the best of their scores (None: no score)."""
    names = trajectory.accepted.get(trace, ())
    scores = [s for s in (trajectory.attempts[n].score for n in names[-256:]) if s is not None]
    best = None if not scores else (max(scores) if trajectory.greater_is_better else min(scores))
    return len(names), best


def logit(similarity: float, length: int, gain: float) -> float:
    """Return the kernel's exponent for one memory; `gain` goes through tanh."""
    fade = math.exp(-length * math.log(2) / HALF_LIFE)
    return max(-CLAMP, min(CLAMP, similarity * fade + math.tanh(gain)))


def softmax(logits: list[float]) -> list[float]:
    """Return positive weights that sum to one."""
    if not logits:
        return []
    top = max(logits)
    powers = [math.exp(v - top) for v in logits]
    total = sum(powers)
    return [p / total for p in powers]


def draw_without_replacement(weights: list[float], count: int, draw: Draw, label: str) -> list[int]:
    """Return `count` different indices, drawn one after another in proportion to the weights."""
    keys = []
    for i, weight in enumerate(weights):
        u = min(1 - 1e-12, max(1e-12, draw.uniform(f"{label}/{i}")))
        keys.append((math.log(max(weight, 1e-300)) - math.log(-math.log(u)), -i))
    order = sorted(range(len(weights)), key=lambda i: keys[i], reverse=True)
    return order[:count]


def _recollection(memory: Memory, weight: float, similarity: float) -> Recollection:
    return Recollection(
        attempt=memory.attempt,
        weight=round(weight, 9),
        similarity=similarity,
        gain=memory.gain,
        statement=memory.statement,
        move=memory.move,
        accepted=memory.accepted,
    )


def _robust(
    memory: SuccessMemory, asked: RecallRequested, trajectory: Trajectory, settings: Settings, draw: Draw
) -> tuple[Recollection, ...]:
    length, _ = path(trajectory, asked.trace)
    told = [m for m in memory.failures if m.statement and not m.failure]
    chosen: list[Recollection] = []
    room = max(0, asked.limit - min(settings.failures, len(told)))
    for entries, count, label, sign in (
        (memory.successes, room, "success", 1.0),
        (told, asked.limit - room, "failure", -1.0),
    ):
        similar = cosine(asked.query, [m.text for m in entries], settings.backend)
        # a failure is worth knowing when it was bad, a success when it was good
        logits = [logit(s, length, sign * m.normalised) for s, m in zip(similar, entries, strict=True)]
        weights = softmax(logits)
        picked = draw_without_replacement(weights, count, draw, label)
        chosen += [
            _recollection(entries[i], weights[i], similar[i]) for i in sorted(picked, key=lambda i: (-weights[i], i))
        ]
    return tuple(chosen)


def _published(
    memory: SuccessMemory, asked: RecallRequested, trajectory: Trajectory, settings: Settings, draw: Draw
) -> tuple[Recollection, ...]:
    length, best = path(trajectory, asked.trace)
    direction = 1.0 if trajectory.greater_is_better else -1.0
    entries = [m for m in memory.successes if m.score is not None]
    if not entries:
        return ()
    similar = cosine(asked.query, [m.text for m in entries], settings.backend)
    gains = [0.0 if best is None else direction * (cast(float, m.score) - round(best, 3)) for m in entries]
    weights = softmax([logit(s, length, g) for s, g in zip(similar, gains, strict=True)])
    drawn = sorted(draw_without_replacement(weights, min(2, len(entries)), draw, "memory"))[:_SHOWN]
    first = max(range(len(entries)), key=lambda i: (direction * cast(float, entries[i].score), -i))
    shown = [first, *(i for i in drawn if i != first)]
    return tuple(_recollection(entries[i], weights[i], similar[i]) for i in shown)
