"""REPORT.md: what a run found, in words and tables, from its summary and trajectory. Pure text, no files."""

from __future__ import annotations

from gome.events import BASELINE, Trajectory
from gome.kernel.results import Gain, Summary, takes_tables


def number(value: float | None, sign: str = "") -> str:
    """A score for people: five decimals, fewer for large numbers. `sign` is "+" for differences."""
    if value is None:
        return "unknown"
    return f"{value:{sign},.2f}" if abs(value) >= 100 else f"{value:{sign}.5f}"


def gain_sentence(gain: Gain, metric: str) -> str:
    """`14.2 % better than default LightGBM (0.1234): 0.0190 …` with the paired interval."""
    sure = "" if gain.low > 0 or gain.high < 0 else ", which may be chance"
    how = f"{abs(gain.share) * 100:.1f} % {'better' if gain.gain > 0 else 'worse'} than" if gain.gain else "as good as"
    return (
        f"{how} {gain.over} ({metric} {number(gain.score)}): "
        f"{number(gain.gain, '+')}, 95 % interval {number(gain.low, '+')} to {number(gain.high, '+')}{sure}"
    )


def _to_first(s: Summary) -> str:
    """How what was handed in compares with the first attempt, if it is another one; "" where nothing is known."""
    if s.first == "itself":
        return f"what was handed in is the first attempt itself ({s.attempt})"
    compared = gain_sentence(s.over_first, s.metric) if s.over_first else ""
    if s.first == "rerun":
        again = f"what was handed in is the first attempt ({s.attempt}), run again with other seeds and folds"
        return f"{again}: {compared}" if compared else again
    return compared


def headline(s: Summary) -> list[str]:
    """The result in a few lines, each a sentence."""
    lines = [s.origin] if s.origin else []
    if s.score is not None:
        noise = f" ± {number(s.score_se)} (standard error over rows)" if s.score_se else ""  # imported runs have none
        lines.append(f"validation {s.metric} {number(s.score)}{noise}")
    if s.hidden is not None:
        lines.append(f"hidden {s.metric} {number(s.hidden)} ± {number(s.hidden_se)}")
    elif s.outcome in ("done", "stopped") and s.choices:
        lines.append("no hidden answers are known for this task")
    if s.attempt == BASELINE:
        lines.append("what was handed in is the default LightGBM: nothing that was tried held up against it")
    elif s.over_baseline is not None:
        lines.append(gain_sentence(s.over_baseline, s.metric))
    if to_first := _to_first(s):
        lines.append(to_first)
    return lines


def executed(s: Summary) -> str:
    """How many executions there were, and how many of them nothing had to be run for."""
    return f"{s.executions} executions" + (f" ({s.cached} answered by earlier ones, not run)" if s.cached else "")


def spent(s: Summary) -> str:
    """What language models took: calls, tokens, money; "" where none was asked."""
    if not s.calls:
        return ""
    calls = "1 call" if s.calls == 1 else f"{s.calls:,} calls"
    tokens = f"{s.tokens_in:,} tokens in, {s.tokens_out:,} out"
    return f"{calls} to {', '.join(s.models)}: {tokens}, {dollars(s.money)}"


def dollars(money: float | None) -> str:
    """An amount of money as people read it; what is unknown is not nothing."""
    if money is None:
        return "cost unknown (no price in completion.prices)"
    return f"${money:.4f}" if 0 < money < 1 else f"${money:,.2f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _choices(s: Summary) -> list[str]:
    """What other rules of final selection would have handed in, and the selection loss where answers are known."""
    if len(s.choices) < 2:
        return []
    graded = any(c.hidden is not None for c in s.choices)
    out = ["## What other rules would have handed in", ""]
    if graded:
        out += ["The loss is the distance to the best hidden score of any valid attempt; no decision has seen it.", ""]
    out += ["| rule | attempt | validation |" + (" hidden | loss |" if graded else "")]
    out += ["|---|---|---|" + ("---|---|" if graded else "")]
    for c in s.choices:
        row = f"| {c.rule} | {c.attempt} | {number(c.score)} |"
        out.append(row + (f" {number(c.hidden)} | {number(c.loss, '+')} |" if graded else ""))
    return [*out, ""]


def report(s: Summary, t: Trajectory) -> str:
    """The whole report as Markdown."""
    assert t.started is not None
    task = t.started.task
    out = [f"# {s.task}: run {s.run}", ""]
    out += [f"- {line}" for line in headline(s)]
    out += [
        f"- {s.steps} steps ({s.accepted} accepted, {s.failed} failed), {executed(s)}, "
        f"{s.seconds:.0f} s, outcome {s.outcome}" + (f": {s.reason}" if s.reason else ""),
        *([f"- {asked}"] if (asked := spent(s)) else []),
        "",
    ]
    if t.selected:
        out += ["## What was handed in", "", t.selected.reason or f"Attempt {t.selected.attempt}.", ""]
        out += ["| candidate | score | to the leader | SE | reruns | audit |", "|---|---|---|---|---|---|"]
        for c in t.selected.candidates:
            cells = f"| {c.attempt} | {number(c.score)} | {number(c.difference, '+')} | {number(c.se)} | {c.reruns} |"
            out.append(f"{cells} {c.audited or '–'} |")
        seeds = ", ".join(map(str, t.selected.seeds))
        more = (
            ""
            if not takes_tables(str(t.selected.program))
            else ("; with `--train`, `--test`, `--out` it fits and scores other tables")
        )
        out += [
            "",
            f"`best_program.py`, run in this folder, reproduces `submission.csv` (seeds {seeds}; same machine class, "
            f"versions and `GOME_THREADS`){more}.",
            "",
        ]
    out += _choices(s)
    if s.payers:
        out += ["## Changes that paid most (validation)", "", "| attempt | trace | gain | noise | change |"]
        out += ["|---|---|---|---|---|"]
        out += [
            f"| {p.attempt} | {p.trace} | {number(p.gain, '+')} | {number(p.noise)} | {_cell(p.change)} |"
            for p in s.payers
        ]
        out.append("")
    if s.findings:
        out += ["## Findings about the data", "", *(f"- {f}" for f in s.findings), ""]
    out += ["## All attempts", "", "| attempt | trace | parent | score | verdict | change | why |"]
    out.append("|---|---|---|---|---|---|---|")
    for a in t.attempts.values():
        verdict = "accepted" if a.accepted else ("open" if a.accepted is None else (a.failure or "rejected"))
        change = a.hypothesis.statement if a.hypothesis else ""
        out.append(
            f"| {a.id} | {a.trace} | {a.parent or '–'} | {number(a.score) if a.score is not None else '–'} "
            f"| {verdict} | {_cell(change)} | {_cell(a.reason)} |"
        )
    out += ["", f"Task: {task.rows_train} training rows, {task.rows_test} test rows, {len(task.columns)} columns."]
    if task.source:
        out.append(f"Source: {task.source} ({task.licence or 'licence unknown'}). Split: {task.split}")
    return "\n".join(out) + "\n"
