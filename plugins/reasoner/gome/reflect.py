"""What an attempt has taught (call C13): an opinion in three layers, each before the next. It decides nothing."""

from __future__ import annotations

from gome.kernel.reasoning import Feedback
from gome.plugins.reasoner.gome.quoting import difference, number, program_of
from gome.plugins.reasoner.gome.render import Block
from gome.plugins.reasoner.gome.replies import Verdict
from gome.plugins.reasoner.gome.situation import Situation


async def reflect(situation: Situation) -> Feedback:
    """Return the feedback on a scored attempt. The first layer that fails gives the reason; what the reply leaves out
    counts as failed. Errors of the call are left to the caller: no opinion is better than one that was made up."""
    attempt, parent = situation.attempt, situation.context.parent
    hypothesis = attempt.hypothesis
    chosen = "" if hypothesis is None else f"{hypothesis.statement}\n{hypothesis.reason}"
    sections = {
        "chosen": Block("What was to be changed, and why", chosen),
        "standing": Block("How the solution before stands", situation.standing(parent)),
        "difference": Block("What changed in the program", difference(parent, attempt), "diff"),
        "program": Block("The program", program_of(attempt), "python"),
        "result": Block("The result", _result(situation)),
        "output": Block("What the program printed", _output(situation)),
    }
    verdict = await situation.ask("feedback", Verdict, sections=sections, role="judge")
    better = verdict.better or parent is None
    if not verdict.format_valid:
        layer, ground = "format", verdict.reason
    elif not verdict.aligned:
        layer, ground = "alignment", verdict.alignment or verdict.reason
    else:
        layer, ground = "analysis", verdict.reason or verdict.analysis
    return Feedback(
        accept=verdict.format_valid and verdict.aligned and better,
        observations=verdict.observations,
        reason=f"{layer}: {ground or 'no ground was given'}",
        lesson=verdict.lesson,
        aligned=verdict.aligned,
    )


def _result(situation: Situation) -> str:
    """The figures of the attempt, with the paired difference to the solution before."""
    attempt, parent, metric = situation.attempt, situation.context.parent, situation.context.task.metric
    lines = [situation.standing(attempt)]
    scored = attempt.scored
    if scored is None:
        return lines[0]
    lines.append(f"standard error of the score: {number(scored.se)}")
    paired = next((c for c in scored.comparisons if parent and c.attempt == parent.id), None)
    if parent is not None and parent.score is not None:
        which = "higher" if metric.greater_is_better else "lower"
        lines.append(f"{metric.name} was {number(parent.score)} and is {number(scored.score)}; {which} is better")
    if paired:
        won = sum(d > 0 for d in paired.fold_differences)
        lines.append(
            f"paired on the same rows: better by {number(paired.difference)} ± {number(paired.row_se)}"
            + (f", in {won} of {len(paired.fold_differences)} folds" if paired.fold_differences else "")
        )
    lines.append("the scorer found the files to be what the task asks for")
    return "\n".join(lines)


def _output(situation: Situation) -> str:
    """What the full execution printed: it may hold rows, so it is shown only where rows may be."""
    execution = situation.attempt.execution
    if situation.share != "sample" or execution is None:
        return ""
    return str(execution.stdout)
