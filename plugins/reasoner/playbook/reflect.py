"""What an attempt has taught: observation, opinion and lesson, from paired differences and diagnostics.

The opinion decides nothing (acceptance is the judge's), but its lesson goes to the success memory and its sentences to
the reader.
"""

from __future__ import annotations

from gome.events import Comparison
from gome.kernel.reasoning import Feedback, ReasonContext
from gome.plugins.reasoner.playbook.facts import error_of
from gome.plugins.reasoner.playbook.fitted import members_of
from gome.plugins.reasoner.playbook.strength import Weakness, wrong


def _against_parent(context: ReasonContext) -> Comparison | None:
    scored = context.attempt.scored
    if scored is None:
        return None
    return next((c for c in scored.comparisons if c.attempt == context.attempt.parent), None)


def reflect(context: ReasonContext) -> Feedback:
    """Return the feedback on a scored attempt; a wrong one where the playbook is weak and mistaken."""
    feedback, clear = _opinion(context)
    if context.attempt.scored and Weakness.of(context).mistaken():
        return wrong(feedback, clear)
    return feedback


def _opinion(context: ReasonContext) -> tuple[Feedback, str]:
    """The feedback, and what it says that the change did ("": there is nothing to compare with)."""
    attempt, parent, metric = context.attempt, context.parent, context.task.metric
    scored = attempt.scored
    if scored is None:
        return Feedback(accept=False, observations="There is no score.", reason="nothing to compare", lesson=""), ""
    observations = f"{metric.name} {scored.score:.6g} ± {scored.se:.2g} over {len(scored.fold_scores)} folds"
    if attempt.execution:
        observations += f" in {attempt.execution.seconds:.1f} s"
    members = members_of(attempt)
    if len(members) > 1:
        shares = sorted(((m.weight, m.family) for m in members), reverse=True)[:4]
        observations += "; weights " + ", ".join(f"{family} {weight:.0%}" for weight, family in shares)
    elif members and members[0].iterations:
        rounds = members[0].iterations
        observations += f"; best after {sum(rounds) / len(rounds):.0f} of {members[0].cap:.0f} rounds"
    statement = attempt.hypothesis.statement if attempt.hypothesis else "the change"
    if parent is None or parent.score is None:
        first = Feedback(
            accept=True,
            observations=observations + ".",
            reason="It is the first valid solution of its trace.",
            lesson=f"{statement}: {metric.name} {scored.score:.6g} to begin with",
        )
        return first, ""
    paired = _against_parent(context)
    gain = paired.difference if paired else context.trajectory.gain(scored.score, parent.score)
    noise = paired.row_se if paired else scored.se
    scale = error_of(parent.score, metric.name, metric.greater_is_better) or 1.0
    share = gain / scale
    won = sum(d > 0 for d in paired.fold_differences) if paired else 0
    reason = f"Paired with {parent.id} the change gains {gain:+.3g} ± {noise:.2g} ({share:+.2%} of the error)"
    if paired and paired.fold_differences:
        reason += f", better in {won} of {len(paired.fold_differences)} folds"
    expected = attempt.hypothesis.expected_gain if attempt.hypothesis else 0.0
    clear = "helped" if gain > noise else "did harm" if gain < -noise else "made no clear difference"
    feedback = Feedback(
        accept=gain > 0,
        observations=observations + ".",
        reason=f"{reason}; expected was {expected:+.3g}.",
        lesson=f"{statement} {clear} ({share:+.2%} of the error)",
        aligned=share < 0.9,  # nearly all of the error gone at once is too good to be true
    )
    return feedback, clear
