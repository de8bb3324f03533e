"""Performs a recall: gathers memories, has them embedded and weighed, draws, and says what a step is told.

The formula is in `interaction`, the two rules of drawing in `rules`, what texts are compared by in `embedders`. The
weights that come out are recorded, so replay computes none of this again. With `across`, successes of finished runs on
other tasks join those of this run; their weight is multiplied by the tasks' affinity and their gains are normalised,
since metrics differ. They reach deciders through the result only.

A step whose scope has a retrieval memory is told of that one: `retrieval` says of what, `fusion` how it is ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
from anyio import to_thread

from gome.events import Cost, Draw, Event, MemoryRecalled, RecallRequested, Recollection, Task, Trajectory
from gome.events.memory import Memory, SuccessMemory
from gome.events.scope import Reach
from gome.kernel.errors import GomeError
from gome.kernel.loop import completion_settings, loop_settings
from gome.kernel.plugin import Context, FinishedRun, Result
from gome.plugins.memory.kernel.affinity import affinity, described
from gome.plugins.memory.kernel.embedders import embed
from gome.plugins.memory.kernel.fusion import bm25, fused
from gome.plugins.memory.kernel.interaction import Backend, Matrix, interact
from gome.plugins.memory.kernel.retrieval import Record, Wanted, groups, questions, wanted_by
from gome.plugins.memory.kernel.rules import first_two, mean, path, published_gains, without_replacement
from gome.plugins.memory.kernel.settings import Settings, read_settings

SILENT = ("cancelled", "effect", "proposal")
"""Classes of failures that say nothing about the idea."""
UNSHARED = "completion.share is none and ideas may name columns: texts were not sent to the embeddings endpoint"
LESSON = 300
"""Characters of a lesson that is told."""
_noticed: set[tuple[str, str]] = set()
"""Runs and notices that this process has warned of; the results repeat them."""


@dataclass(frozen=True)
class _Entry:
    """A memory as it takes part in a recall: the run it is from ("": this one) and its task's affinity."""

    memory: Memory
    run: str = ""
    affinity: float = 1.0


async def recall(event: Event, ctx: Context) -> Result:
    """Perform a `RecallRequested`."""
    asked = cast(RecallRequested, event.payload)
    loop = loop_settings(ctx.started.settings)
    if not loop.memory:
        return Result(MemoryRecalled(attempt=asked.attempt))
    settings = read_settings(ctx.settings)
    across = settings.across and loop.shared and not wanted_by(asked, ctx.trajectory)
    others, missing = await _others(ctx) if across else ((), "")
    if settings.embedder == "endpoint" and completion_settings(ctx.started.settings).share == "none":
        settings = msgspec.structs.replace(settings, embedder="hashed")
        missing = "; ".join(filter(None, (missing, UNSHARED)))
    task, reach = ctx.started.task, loop.reach
    said, cost = await to_thread.run_sync(work, asked, ctx.trajectory, settings, task, others, ctx.draw, reach)
    if missing:
        said = msgspec.structs.replace(said, notice="; ".join(filter(None, (missing, said.notice))))
    if said.notice and (ctx.run, said.notice) not in _noticed:
        _noticed.add((ctx.run, said.notice))
        ctx.log.warning("the memory does without", notice=said.notice)
    return Result(said, cost)


async def _others(ctx: Context) -> tuple[Sequence[FinishedRun], str]:
    """Finished runs on other tasks, and why there are none to be had."""
    if ctx.elsewhere is None:
        return (), "no other runs are within reach here"
    try:
        return await ctx.elsewhere(), ""
    except (GomeError, OSError) as error:
        return (), f"memories of other runs were left out: {error}"


def work(
    asked: RecallRequested,
    trajectory: Trajectory,
    settings: Settings,
    task: Task,
    elsewhere: Sequence[FinishedRun],
    draw: Draw,
    reach: Reach = "shared",
) -> tuple[MemoryRecalled, Cost | None]:
    """The whole work of a recall, over the step's own trace only where memory reaches no further; blocks."""
    if wanted := wanted_by(asked, trajectory):
        return _retrieve(asked, trajectory, settings, wanted, reach)
    memory = SuccessMemory.of(trajectory)
    if reach == "own":
        memory.successes = [m for m in memory.successes if m.trace == asked.trace]
        memory.failures = [m for m in memory.failures if m.trace == asked.trace]
    questions = list(asked.queries or (asked.query,))
    own = [m for m in memory.successes if m.score is not None or settings.rule == "robust"]
    told = [m for m in memory.failures if m.statement and m.failure not in SILENT]
    told = told if settings.rule == "robust" and settings.failures else []
    foreign = [(run, m) for run in elsewhere for m in run.successes if m.statement]
    if not (own or told or foreign):
        return MemoryRecalled(attempt=asked.attempt), None
    texts = [*questions, *(m.text for m in own), *(m.text for m in told), *(m.text for _, m in foreign)]
    tasks = [described(task), *(described(run.task) for run in elsewhere)] if foreign else []
    found = embed([*texts, *tasks], settings)
    vectors = found.vectors
    if tasks:
        similar = vectors[len(texts) + 1 :] @ vectors[len(texts)]
        shared = {r.run: affinity(task, r.task, float(s)) for r, s in zip(elsewhere, similar, strict=True)}
    else:
        shared = {}
    entries = [
        *(_Entry(m) for m in (*own, *told)),
        *(_Entry(m, run.run, shared[run.run]) for run, m in foreign),
    ]
    rows = vectors[len(questions) : len(texts)]
    length, scores = path(trajectory, asked.trace, asked.parent)
    weigh = _Weighing(vectors[: len(questions)], rows, entries, length, settings.backend)
    if settings.rule == "published":
        chosen = _published(weigh, scores, trajectory.greater_is_better, draw)[: asked.limit]
    else:
        chosen = _robust(weigh, asked.limit, settings.failures, draw)
    said = MemoryRecalled(attempt=asked.attempt, recollections=tuple(chosen), embedder=found.name, notice=found.notice)
    return said, found.cost


def _retrieve(
    asked: RecallRequested, trajectory: Trajectory, settings: Settings, wanted: Wanted, reach: Reach
) -> tuple[MemoryRecalled, Cost | None]:
    """Ask a retrieval memory. Where there are several questions, a record counts by the one that it answers best."""
    found = groups(trajectory, wanted, reach, asked.trace)
    if not found:
        return MemoryRecalled(attempt=asked.attempt), None
    texts = questions(asked, trajectory, wanted)
    asking = len(texts)
    embedded = embed([*texts, *(text for group in found for text in group.texts)], settings)
    chosen: list[Recollection] = []
    start = asking
    for group in found:
        rows = embedded.vectors[start : start + len(group.texts)]
        start += len(group.texts)
        dense = (embedded.vectors[:asking] @ rows.T).tolist()
        scores = [fused(bm25(text, group.texts), alike) for text, alike in zip(texts, dense, strict=True)]
        best, similar = [list(map(max, zip(*table, strict=True))) for table in (scores, dense)]
        order = sorted(range(len(best)), key=lambda i: (-best[i], i))[: group.most]
        chosen += [_remembered(group.records[i], best[i], similar[i]) for i in order]
    recollections = tuple(chosen[: asked.limit])
    return MemoryRecalled(asked.attempt, recollections, embedded.name, embedded.notice), embedded.cost


def _remembered(record: Record, weight: float, similarity: float) -> Recollection:
    a = record.attempt
    return Recollection(
        attempt=a.id,
        weight=round(weight, 9),
        similarity=round(similarity, 9),
        gain=record.gain,
        statement=a.hypothesis.statement if a.hypothesis else "",
        move=a.hypothesis.move if a.hypothesis else "",
        accepted=bool(a.accepted),
        score=a.score,
        lesson=((a.feedback.lesson if a.feedback else "") or ("" if a.accepted else a.reason))[:LESSON],
    )


@dataclass(frozen=True)
class _Weighing:
    """Candidates and memories with their embeddings, ready to be weighed."""

    candidates: Matrix
    rows: Matrix
    entries: Sequence[_Entry]
    length: int
    backend: Backend

    def of(self, members: Sequence[int], gains: Sequence[float]) -> tuple[list[list[float]], list[float]]:
        """Weights per candidate, and the largest similarity of each memory to any of them, of some of the entries."""
        weights, similar = interact(self.candidates, self.rows[list(members)], gains, self.length, self.backend)
        return weights.tolist(), similar.max(axis=0).tolist()


def _published(weigh: _Weighing, scores: Sequence[float], greater: bool, draw: Draw) -> list[Recollection]:
    entries = weigh.entries
    own = [cast(float, e.memory.score) for e in entries]
    weights, similar = weigh.of(range(len(entries)), published_gains(own, scores, greater))
    best = max(range(len(own)), key=lambda i: (own[i] if greater else -own[i], -i))
    shown = [best, *(i for i in first_two(weights, draw) if i != best)]
    average = mean(weights)
    return [_recollection(entries[i], average[i], similar[i], round(own[i], 3)) for i in shown]


def _robust(weigh: _Weighing, limit: int, failures: int, draw: Draw) -> list[Recollection]:
    good = [i for i, e in enumerate(weigh.entries) if e.memory.accepted]
    bad = [i for i, e in enumerate(weigh.entries) if not e.memory.accepted]
    room = max(0, limit - min(failures, len(bad)))
    chosen: list[Recollection] = []
    # A success is worth knowing when it was good, a failure when it was bad.
    for members, count, label, sign in ((good, room, "success", 1.0), (bad, limit - room, "failure", -1.0)):
        if not members or not count:
            continue
        entries = [weigh.entries[i] for i in members]
        rows, similar = weigh.of(members, [sign * e.memory.normalised for e in entries])
        weights = [w * e.affinity for w, e in zip(mean(rows), entries, strict=True)]
        total = sum(weights)
        weights = [w / total for w in weights] if total else weights
        drawn = without_replacement(weights, count, draw, label)
        order = sorted(drawn, key=lambda i: (-weights[i], i))
        chosen += [_recollection(entries[i], weights[i], similar[i], entries[i].memory.score) for i in order]
    return chosen


def _recollection(entry: _Entry, weight: float, similarity: float, score: float | None) -> Recollection:
    m = entry.memory
    return Recollection(
        attempt=f"{entry.run}:{m.attempt}" if entry.run else m.attempt,
        weight=round(weight, 9),
        similarity=round(similarity, 9),
        gain=m.gain,
        statement=m.statement,
        move=m.move,
        accepted=m.accepted,
        score=score,
        lesson=(m.lesson if m.accepted else m.lesson or m.reason)[:LESSON],
        failure=m.failure,
    )
