"""The tables of a report as text cells, the same for a terminal and for a page, each with what it rests on below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gome.plugins.bench.report.bootstrap import Estimate
from gome.plugins.bench.report.build import BenchReport, Part
from gome.plugins.bench.report.crossover import Bounded
from gome.plugins.bench.report.gaps import short
from gome.plugins.bench.table import CURRENCIES

NONE = "–"


class Table(Struct, frozen=True):
    """A table: `left` counts the columns that are text, all others are numbers. Lines of `detail` are shown below
    `rows` where there is room for all. `about` says what the figures are, `rests` which code and tasks they are of."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int
    about: str
    rests: str
    detail: tuple[tuple[str, ...], ...] = ()


def number(value: float | None, form: str = ".3f") -> str:
    """A figure, or a dash."""
    return NONE if value is None else f"{value:z{form}}"  # z: what rounds to nought has no sign


def error(e: Estimate, form: str = ".3f") -> str:
    """Mean ± standard error."""
    return number(e.mean, form) + (f" ± {e.sem:{form}}" if e.sem is not None else "")


def bounds(e: Estimate | Bounded, form: str = ".3f") -> str:
    """The 95 % interval."""
    return NONE if e.low is None or e.high is None else f"[{e.low:z{form}}, {e.high:z{form}}]"


def opening(report: BenchReport) -> Iterator[Table]:
    """What the whole report rests on: digests in full, every held-out run, cells that have not ended."""
    about, rests = report.about, report.about.line
    facts = [("bench", ", ".join(about.benches)), ("suite", ", ".join(about.suites))]
    facts += [("cells", str(about.rows)), ("reasoner", ", ".join(about.reasoners)), ("model", ", ".join(about.models))]
    facts += [("playbook", d) for d in about.playbooks] + [("commit", c) for c in about.commits]
    facts += [(f"task {task}", d) for task, digests in about.tasks.items() for d in digests]
    facts += [("warning", w) for w in about.warnings]
    rows = tuple((name, value) for name, value in facts if value)
    yield Table("about", "What this rests on", ("", "what"), rows, 2, "", rests)
    if report.held_out:
        held = tuple((short(h.playbook), h.commit, h.bench, ", ".join(h.tasks), str(h.runs)) for h in report.held_out)
        told = "Held-out tasks are run once per released playbook; every such run belongs here."
        columns = ("playbook", "commit", "bench", "tasks", "runs")
        yield Table("held-out", "Every held-out run", columns, held, 4, told, rests)
    if report.unfinished:
        left = tuple((name,) for name in report.unfinished)
        yield Table("unfinished", "Planned, and not ended", ("cell",), left, 1, "", rests)


def tables(part: Part) -> Iterator[Table]:
    """The tables of a part in the order of the page, without those that would be empty."""
    for make in (_standings, _paired, _tasks, _anytime, _levels, _slopes, _effects, _selection, _costs, _scales, _gaps):
        found = make(part, part.about.line)
        if found.rows:
            yield found


def _standings(part: Part, rests: str) -> Table:
    rows = tuple(
        (
            s.arm,
            str(s.runs),
            str(s.failed),
            error(s.share),
            bounds(s.share),
            error(s.finished) if s.failed else NONE,
            error(s.quality, ".2f"),
        )
        for s in part.standings
    )
    columns = ("arm", "runs", "failed", "share of the way", "95 %", "without failures", "quality")
    about = (
        "Mean ± standard error over tasks: 0 is the default LightGBM, 1 the best score known. A failed run counts as "
        "the worst of its block. Quality: rank correlation of predicted impact and realised gain."
    )
    return Table("standing", "How far each came", columns, rows, 1, about, rests)


def _paired(part: Part, rests: str) -> Table:
    lines = [
        (
            f"{p.one} − {p.other}",
            p.context or "all",
            str(p.blocks),
            str(p.unpaired),
            error(p.difference),
            bounds(p.difference),
            f"{p.wins} / {p.ties} / {p.losses}",
            number(p.win_rate.mean, ".0%"),
            bounds(p.win_rate, ".0%"),
        )
        for p in part.paired
    ]
    lead = [p.one == part.policies[0] or not p.context for p in part.paired]
    columns = (
        *("difference", "where", "blocks", "unpaired", "share of the way", "95 %"),
        *("won / tied / lost", "win rate", "95 %"),
    )
    about = (
        "On the same task, split and seed. Intervals: bootstrap over tasks, then splits, then seeds, for one "
        "comparison each: of twenty that differ in nothing one is expected to look as if it did."
    )
    rows, detail = _split(lines, lead)
    return Table("differences", "Who is ahead", columns, rows, 2, about, rests, detail)


def _split(
    lines: Sequence[tuple[str, ...]], shown: Sequence[bool]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Lines that are always shown, and the rest."""
    both = list(zip(lines, shown, strict=True))
    return tuple(line for line, show in both if show), tuple(line for line, show in both if not show)


def _tasks(part: Part, rests: str) -> Table:
    rows = tuple(
        (
            r.task,
            f"{r.metric} {'↑' if r.greater_is_better else '↓'}",
            r.arm,
            str(r.runs),
            str(r.failed),
            error(r.hidden, ".5g"),
            error(r.validation, ".5g"),
            error(r.share),
        )
        for r in part.tasks
    )
    columns = ("task", "metric", "arm", "runs", "failed", "hidden", "validation", "share of the way")
    about = "Raw scores, mean ± standard error over splits and seeds, best arm first; failed runs have no score."
    return Table("heat", "Task by task", columns, rows, 3, about, rests)


def _anytime(part: Part, rests: str) -> Table:
    rows = tuple(
        (c.currency, c.policy, number(c.spent[-1], ",.4g"), error(c.area), bounds(c.area), str(c.left_out))
        for c in part.anytime
    )
    columns = ("currency", "policy", "budget", "area under the curve", "95 %", "left out")
    about = (
        "Mean share of the way, of the best so far, over the whole budget: 1 would be the best known from the first "
        "moment on. Left out: runs whose spending is unknown."
    )
    return Table("anytime", "At every moment", columns, rows, 2, about, rests)


def _levels(part: Part, rests: str) -> Table:
    found = part.crossover.levels
    policies = [p for p in part.policies if any(p in level.shares for level in found)]
    rows = tuple(
        (
            level.context,
            error(level.quality, ".2f"),
            *(error(level.shares.get(p, Estimate()), ".2f") for p in policies),
        )
        for level in found
    )
    about = "Every reasoner by its measured quality, which is the mean over all that used it."
    return Table("levels", "Reasoners", ("reasoner", "quality", *policies), rows, 1, about, rests)


def _slopes(part: Part, rests: str) -> Table:
    rows = tuple(
        (
            f"{s.one} − {s.other}",
            str(s.levels),
            number(s.slope.value, ".2f"),
            bounds(s.slope, ".2f"),
            f"{s.at_lowest.value:.2f} {bounds(s.at_lowest, '.2f')}",
            f"{s.at_highest.value:.2f} {bounds(s.at_highest, '.2f')}",
            f"{s.crossing.value:.2f} {bounds(s.crossing, '.2f')}" if s.crossing else "none shown",
        )
        for s in part.crossover.slopes
    )
    columns = ("lead", "levels", "slope", "95 %", "at the lowest quality", "at the highest", "crossing at")
    about = (
        "Hypothesis, stated before the run: the slope of (gradient − tree) over measured quality is positive. A "
        "crossover is shown only where the line is clear of 0 at both ends, on either side."
    )
    return Table("crossover", "The crossover", columns, rows, 1, about, rests)


def _effects(part: Part, rests: str) -> Table:
    lines = [
        (
            f"{e.factor}: {e.level} − {e.against}",
            {"main": "all", "within": e.policy, "interaction": f"{part.policies[0]} minus {e.policy}"}[e.kind],
            str(e.pairs),
            error(e.difference),
            bounds(e.difference),
        )
        for e in part.effects
    ]
    several = len({e.factor for e in part.effects}) > 1
    rows, detail = _split(lines, [e.kind != "within" for e in part.effects]) if several else ((), ())
    columns = ("effect", "where", "pairs", "share of the way", "95 %")
    about = (
        "Paired over cells that agree in everything else; below main effects those within a policy, and interactions."
    )
    return Table("effects", "Which factor earns what", columns, rows, 2, about, rests, detail)


def _selection(part: Part, rests: str) -> Table:
    rows = tuple(
        (s.arm, str(s.runs), error(s.loss), bounds(s.loss), number(s.hit.mean, ".0%"), error(s.promised))
        for s in part.selection
    )
    columns = ("arm", "runs", "lost by choosing", "95 %", "best was handed in", "promised too much")
    about = "In shares of the way. Promised too much: validation score minus hidden score of what was handed in."
    return Table("selection", "What choosing cost", columns, rows, 1, about, rests)


def _costs(part: Part, rests: str) -> Table:
    used = [c for c in CURRENCIES if any(cost.total[c] for cost in part.costs)]
    rows = tuple(
        (
            cost.arm,
            str(cost.runs),
            *(number(cost.mean[c], ",.4g") for c in used),
            number(cost.accepted, ".1f"),
            str(cost.unpriced),
        )
        for cost in part.costs
    )
    total = tuple(f"{sum(c.total[name] or 0.0 for c in part.costs):,.4g}" for name in used)
    runs = str(sum(c.runs for c in part.costs))
    rows = (*rows, ("all, in total", runs, *total, NONE, str(sum(c.unpriced for c in part.costs))))
    columns = ("arm", "runs", *(c.replace("_", " ") for c in used), "accepted", "unpriced")
    about = "Mean per run, failed ones included. Unpriced: runs whose money is unknown, in neither mean nor total."
    return Table("cost", "What it cost", columns, rows, 1, about, rests)


def _scales(part: Part, rests: str) -> Table:
    rows = tuple(
        (
            s.task,
            f"{s.metric} {'↑' if s.greater_is_better else '↓'}",
            s.best_by or NONE,
            str(s.split),
            number(s.baseline, ".5g"),
            number(s.reference, ".5g"),
            number(s.best, ".5g"),
            number(s.gap, ".3g") if s.gap is not None else "no scale",
            number(s.noise, ".3g"),
        )
        for s in part.scales
    )
    columns = (
        *("task", "metric", "best known by", "split", "default LightGBM", "reference", "best known", "way"),
        "hidden SE",
    )
    about = (
        "The way is the distance from default LightGBM to best known; a way below the standard error is mostly noise."
    )
    return Table("scales", "The scale of each task", columns, rows, 3, about, rests)


def _gaps(part: Part, rests: str) -> Table:
    failed = [(f.outcome, f.arm, f.task, str(f.split), str(f.seed), f.run) for f in part.failures]
    lacking = [("missing", m.arm, m.task, str(m.split), str(m.seed), m.bench) for m in part.missing]
    columns = ("what", "arm", "task", "split", "seed", "run or bench")
    about = "Runs that did not end as done, and cells that others of the same bench have."
    return Table("gaps", "What failed and what is missing", columns, (*failed, *lacking), 6, about, rests)
