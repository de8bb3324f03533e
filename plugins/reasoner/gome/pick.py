"""An order of candidates for the final selection (call C14): an opinion, of which the selection makes what it will."""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import Candidate, OpinionGiven, OpinionRequested
from gome.kernel.completing import Completer, ReplyError
from gome.kernel.loop import completion_settings
from gome.kernel.plugin import Context
from gome.plugins.reasoner.gome.quoting import (
    environment_libraries,
    number,
    program_of,
    story,
    task_facts,
    task_sections,
)
from gome.plugins.reasoner.gome.render import Listing, render
from gome.plugins.reasoner.gome.replies import Ranking
from gome.plugins.reasoner.gome.settings import read_settings
from gome.plugins.reasoner.gome.situation import WEIGHTS, table_head


async def pick(asked: OpinionRequested, ctx: Context) -> OpinionGiven:
    """Return every candidate's attempt in the order of the model's choice; of one candidate nobody is asked."""
    candidates = asked.candidates
    if len(candidates) < 2:
        return OpinionGiven(order=tuple(c.attempt for c in candidates), reason="there is only one candidate")
    completion, settings = completion_settings(ctx.started.settings), read_settings(ctx.settings)
    task, t = ctx.started.task, ctx.trajectory
    profile = t.profiled.profile if t.profiled else {}
    user = render(
        "pick",
        limit=settings.prompt_characters,
        sections={
            **task_sections(task, profile, completion.share, table_head(ctx)),
            "candidates": Listing("The candidates", _entries(candidates, ctx, completion.share), keep="all"),
        },
        weights=WEIGHTS,
        facts={**task_facts(task, environment_libraries(ctx.started)), "scenario": ""},
    )
    system = render("system", limit=settings.prompt_characters, sections={}, weights={}, facts={})

    def check(reply: Ranking) -> None:
        if sorted(reply.order) != list(range(1, len(candidates) + 1)):
            raise ReplyError(f"order holds each of the numbers 1 to {len(candidates)} once, not {reply.order}")

    complete = Completer(ctx.call, completion)
    reply = await complete("pick", system=system, user=user, reply=Ranking, role="judge", check=check)
    return OpinionGiven(order=tuple(candidates[n - 1].attempt for n in reply.order), reason=reply.reason)


def _entries(candidates: Sequence[Candidate], ctx: Context, share: str) -> list[str]:
    """The candidates, numbered from 1, with their scores, what they tried and their programs."""
    found = []
    for position, c in enumerate(candidates, start=1):
        attempt = ctx.trajectory.attempts.get(c.attempt)
        lines = [f"candidate {position}, score {number(c.score)}"]
        if c.reruns:
            lines.append(f"mean of {c.reruns} runs; to the leader {number(c.difference)} ± {number(c.se)}")
        if attempt:
            lines += [story(attempt, ctx.trajectory, told=share != "none"), "program:", program_of(attempt)]
        found.append("\n".join(lines))
    return found
