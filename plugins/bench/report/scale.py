"""Scores of different tasks on one scale: 0 is the default LightGBM of the same split, 1 the best score known on it.

The best known is the better of the reference score and of all that was handed in on that task and split in the table;
so the scale depends on the table, but is the same for everybody who is compared in it. Where nobody beats the default
LightGBM there is no scale; such splits are named, and count in raw scores and in wins and losses.

A cell that handed in nothing has failed. It is given the worst share that anybody got in its block (task, split, seed),
or 0 if that is worse: no failure is left out of a mean, and none counts for more than the default LightGBM or than
what anybody else handed in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from gome.plugins.bench.table import Row

Block = tuple[str, int, int]
"""Task, split seed, seed: what is paired."""


class Context(Struct, frozen=True, order=True):
    """What a search was run with: who reasons, by which model, under which factors."""

    reasoner: str = ""
    model: str = ""
    factors: tuple[tuple[str, str], ...] = ()


class Arm(Struct, frozen=True, order=True):
    """What is compared: a policy (a search and its profile) in a context."""

    search: str
    profile: str
    context: Context

    @property
    def policy(self) -> tuple[str, str]:
        """Search and profile."""
        return self.search, self.profile


class Cell(Struct, frozen=True):
    """A row in its place: `score` is its hidden score with its sign turned where less is better, None where it handed
    nothing in; `share` the score on the scale, None where its split has none."""

    arm: Arm
    block: Block
    row: Row
    score: float | None
    share: float | None

    @property
    def finished(self) -> bool:
        """Whether it handed something in."""
        return self.score is not None


class Scale(Struct, frozen=True):
    """The scale of one task and split. `best_by` says whose the best score known is; `gap` is its distance from the
    baseline, positive better, and `noise` the mean standard error of the hidden scores there, both in units of the
    metric. No scale where `gap` is None."""

    task: str
    split: int
    metric: str
    greater_is_better: bool
    baseline: float | None
    reference: float | None
    best: float | None
    best_by: str
    gap: float | None
    noise: float | None

    def share(self, score: float | None) -> float | None:
        """A hidden score as share of the way from the baseline to the best known."""
        if score is None or self.gap is None or self.baseline is None:
            return None
        return (score - self.baseline if self.greater_is_better else self.baseline - score) / self.gap

    def better(self, score: float, than: float) -> float:
        """By how much a score is better than another, in units of the metric."""
        return score - than if self.greater_is_better else than - score


def promoted(rows: Sequence[Row]) -> list[Row]:
    """Rows in which variants of a search are searches of their own. A suite may vary one search by a factor that has a
    level called like the search: that level is the search as it is, every other one stands beside it as it would under
    a name of its own, so that it is compared with it."""
    suites: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        suites[row.suite].append(row)
    factor = {suite: _variants(found) for suite, found in suites.items()}
    return [_named(row, factor[row.suite]) for row in rows]


def _variants(rows: Sequence[Row]) -> str:
    """The factor whose levels are variants of the only search of a suite; "" where there is none."""
    if len({row.search for row in rows}) > 1:
        return ""
    search, names = rows[0].search, sorted({name for row in rows for name in row.factors})
    return next(
        (n for n in names if search in {r.factors.get(n) for r in rows} and all(n in r.factors for r in rows)), ""
    )


def _named(row: Row, factor: str) -> Row:
    if not factor:
        return row
    rest = {name: level for name, level in row.factors.items() if name != factor}
    return msgspec.structs.replace(row, search=shown(row.factors[factor]), factors=rest)


def arm_of(row: Row) -> Arm:
    """The arm of a row."""
    factors = tuple(sorted((name, shown(value)) for name, value in row.factors.items()))
    return Arm(row.search, row.profile, Context(row.reasoner, row.model, factors))


def shown(value: str | float) -> str:
    """A factor's level as text; equal numbers are equal."""
    return value if isinstance(value, str) else f"{value:g}"


def place(rows: Iterable[Row]) -> tuple[list[Cell], list[Scale]]:
    """Cells in a fixed order, whatever the order of the rows, and the scales that they are on."""
    ordered = sorted(rows, key=lambda r: (r.task, r.split_seed, r.seed, arm_of(r), r.bench, r.run))
    splits: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in ordered:
        splits[row.task, row.split_seed].append(row)
    scales = {key: _scale(found) for key, found in splits.items()}
    worst: dict[Block, float] = defaultdict(float)
    for row in ordered:
        share = scales[row.task, row.split_seed].share(row.hidden)
        if share is not None:
            block = (row.task, row.split_seed, row.seed)
            worst[block] = min(worst[block], share)
    cells = []
    for row in ordered:
        block, scale = (row.task, row.split_seed, row.seed), scales[row.task, row.split_seed]
        share = scale.share(row.hidden) if row.hidden is not None else worst[block] if scale.gap is not None else None
        score = None if row.hidden is None else scale.better(row.hidden, 0.0)
        cells.append(Cell(arm_of(row), block, row, score, share))
    return cells, list(scales.values())


def _scale(rows: Sequence[Row]) -> Scale:
    # The row of a run that never began knows no metric.
    first = next((r for r in rows if r.metric), rows[0])
    sign = 1.0 if first.greater_is_better else -1.0
    baselines = sorted(r.baseline for r in rows if r.baseline is not None)
    baseline = baselines[len(baselines) // 2] if baselines else None
    references = [r.reference for r in rows if r.reference is not None]
    reference = max(references, key=lambda s: sign * s) if references else None
    known = [(sign * r.hidden, r.search) for r in rows if r.hidden is not None]
    if reference is not None:
        known.append((sign * reference, "reference"))
    best, by = max(known, default=(None, ""))
    gap = None if best is None or baseline is None else best - sign * baseline
    errors = [r.hidden_se for r in rows if r.hidden_se is not None]
    return Scale(
        first.task,
        first.split_seed,
        first.metric,
        first.greater_is_better,
        baseline,
        reference,
        None if best is None else sign * best,
        by,
        gap if gap is not None and gap > 0 else None,
        sum(errors) / len(errors) if errors else None,
    )


class Names:
    """Names for arms, policies and contexts that say what tells them apart in this table, and no more."""

    def __init__(self, arms: Iterable[Arm]) -> None:
        self.arms = sorted(set(arms))
        profiles: dict[str, set[str]] = defaultdict(set)
        for arm in self.arms:
            profiles[arm.search].add(arm.profile)
        self._profiled = {search for search, found in profiles.items() if len(found) > 1}
        self._reasoners = len({a.context.reasoner for a in self.arms}) > 1
        self._models = len({a.context.model for a in self.arms}) > 1
        levels: dict[str, set[str]] = defaultdict(set)
        for arm in self.arms:
            for name, value in arm.context.factors:
                levels[name].add(value)
        without = {name for name in levels for a in self.arms if name not in dict(a.context.factors)}
        self._factors = {name for name, found in levels.items() if len(found) > 1} | without
        policies = sorted({arm.policy for arm in self.arms}, key=lambda p: (p[0] != "gradient", p))
        self.policies = {policy: self.policy(policy) for policy in policies}
        self.contexts = {c: self.context(c) for c in sorted({arm.context for arm in self.arms})}

    def policy(self, policy: tuple[str, str]) -> str:
        """A search, with its profile where it was run under several."""
        search, profile = policy
        return f"{search} ({profile or 'default'})" if search in self._profiled else search

    def context(self, context: Context) -> str:
        """What varies of reasoner, model and factors."""
        parts = [context.reasoner] * self._reasoners + [context.model or "no model"] * self._models
        parts += [f"{name} {value}" for name, value in context.factors if name in self._factors]
        return ", ".join(parts)

    def arm(self, arm: Arm) -> str:
        """Policy and context."""
        return " · ".join(filter(None, (self.policy(arm.policy), self.context(arm.context))))


def reference_policy(names: Names) -> tuple[str, str]:
    """The policy that others are compared with: the gradient where it was run, else the first by name."""
    return next(iter(names.policies))
