"""Looks at a program before its full execution: asks a judge model, and reads its verdict pessimistically.

What a reply does not say counts as not so. Where no reply is to be had the program is let through: the scorer's
numbers and the guard's audit decide about it anyway.
"""

from __future__ import annotations

from msgspec import Struct

from gome.events import CodeReviewed, ReviewRequested
from gome.kernel.completing import Completer
from gome.kernel.errors import GomeError
from gome.plugins.mutator.llm.prompting import ROOM, SKETCH, Situation, middle, within

FAULTS = {
    "contract": "it does not keep to the contract of files",
    "aligned": "its out-of-fold predictions do not measure what the task asks for",
    "implemented": "it does not do what the idea says",
}


class Review(Struct, frozen=True):
    """The reply to the call `review`; see `prompts/review.j2` for what each field means."""

    observations: str = ""
    contract: bool = False
    aligned: bool = False
    implemented: bool = False
    ok: bool = False
    problem: str = ""


def problem_of(review: Review) -> str:
    """What is to be repaired, "" when the program may run."""
    failed = [words for name, words in FAULTS.items() if not getattr(review, name)]
    if review.ok and not failed:
        return ""
    said = review.problem.strip() or review.observations.strip()
    return ": ".join(part for part in ("; ".join(failed), said) if part) or "it was refused without a reason"


async def review(
    asked: ReviewRequested, complete: Completer, situation: Situation, sketch: str, *, ran: bool
) -> CodeReviewed:
    """Ask about a program that was written for `sketch`; `ran` says whether it came through a debug execution."""
    program = str(asked.program)
    values = {"sketch": middle(sketch, SKETCH), "program": program, "ran": ran}
    user = within(ROOM + len(program), "review", values)
    try:
        reply = await complete("review", system=situation.system("judge"), user=user, reply=Review, role="judge")
    except GomeError as error:
        return CodeReviewed(
            attempt=asked.attempt, digest=asked.program.digest, ok=True, problem=f"not reviewed: {error}"
        )
    problem = problem_of(reply)
    return CodeReviewed(attempt=asked.attempt, digest=asked.program.digest, ok=not problem, problem=problem)
