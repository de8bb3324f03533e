"""What a step looks like to a language model: a `ReasonContext` turned into the sections of prompts.

What of the data may be shown is `completion.share`. With `none` prompts hold the task's text and metric only, and of
attempts no diagnostics and no texts of errors, which name columns; with `schema` also columns, their aggregates and
those; with `sample` also a few rows and what programs print.

Without the loop's memory (`loop.memory = false`) prompts show the solution that is improved on and the failures since,
but no earlier successes and nothing recalled. The solution itself stays: it is what is being changed, not a memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gome.events import Attempt, CompletionRole
from gome.kernel.plugin import Context
from gome.kernel.reasoning import ReasonContext
from gome.plugins.reasoner.gome.quoting import (
    coarse,
    environment_libraries,
    number,
    program_of,
    steady,
    story,
    task_facts,
    task_sections,
)
from gome.plugins.reasoner.gome.render import Block, Listing, Section, render
from gome.plugins.reasoner.gome.settings import Settings

T = TypeVar("T")
SIBLINGS = 12
HEAD = 1 << 16
ENTRIES = 60
"""Attempts that a listing may hold before it is shortened."""
WEIGHTS: dict[str, int] = {
    "description": 4,
    "columns": 4,
    "rows": 1,
    "scenario": 3,
    "chosen": 3,
    "challenges": 3,
    "candidates": 5,
    "memories": 2,
    "program": 8,
    "standing": 3,
    "others": 8,
    "result": 4,
    "difference": 6,
    "siblings": 2,
    "output": 2,
    "successes": 4,
    "failures": 3,
}
"""Sections of prompts, most important first, with the weight of each one's share."""


def table_head(ctx: Context) -> Callable[[], bytes]:
    """What reads the first `HEAD` bytes of an effect's training table; nothing is read before it is called."""

    def read() -> bytes:
        with ctx.artifacts.path(ctx.started.task.train.digest).open("rb") as table:
            return table.read(HEAD)

    return read


@dataclass(frozen=True)
class Situation:
    """A step with all that its prompts need. `scenario` is the analysis of the task ("" for none), `table` reads the
    beginning of the training table, which happens only where rows may be shown."""

    context: ReasonContext
    settings: Settings
    scenario: str
    table: Callable[[], bytes]

    @property
    def attempt(self) -> Attempt:
        """The step in question."""
        return self.context.attempt

    @property
    def share(self) -> str:
        """What of the data may be shown."""
        return self.context.completion.share

    @property
    def narrow(self) -> bool:
        """Whether the search shows the step less than everything; what it shows is told of whatever branch it is."""
        return self.context.scope.others != "all"

    @property
    def root(self) -> bool:
        """Whether there is nothing yet to improve on: nothing accepted on the step's trace."""
        if self.narrow:
            return self.context.parent is None
        return self.context.trajectory.head(self.attempt.trace) is None

    @property
    def stage(self) -> str:
        """draft, improve or ensemble, by the share of the budget that is used; a trace that has nothing accepted yet
        has nothing to combine."""
        used = self.context.budget_used
        if used < self.settings.draft_until:
            return "draft"
        return "ensemble" if used > self.settings.ensemble_from and not self.root else "improve"

    def ended(self) -> list[Attempt]:
        """Attempts of the step's trace that have been judged, oldest first; in a narrow scope those that it shows."""
        found = self.context.trajectory.attempts.values()
        near = [a for a in found if self.narrow or a.trace == self.attempt.trace]
        return [a for a in near if a.accepted is not None and a.id != self.attempt.id]

    def tally(self) -> tuple[int, int]:
        """How many attempts of the trace were accepted, and how many ended otherwise."""
        ended = self.ended()
        accepted = sum(1 for a in ended if a.accepted)
        return accepted, len(ended) - accepted

    def successes(self) -> list[Attempt]:
        """Accepted attempts of the trace before the one that is built on, oldest first; none where the loop works
        without memory. In a narrow scope whatever it shows that has a score, beside the parents."""
        if not self.context.loop.memory:
            return []
        if self.narrow:
            parents = {self.attempt.parent, *self.attempt.parents}
            return [a for a in self.ended() if a.scored and a.id not in parents][-ENTRIES:]
        return [a for a in self.ended() if a.accepted and a.id != self.attempt.parent][-ENTRIES:]

    def failures(self) -> list[Attempt]:
        """What has not been accepted since the last acceptance on the trace, oldest first. In a narrow scope whatever
        it shows that failed, beside the parent."""
        ended = self.ended()
        if self.narrow:
            return [a for a in ended if not a.scored and a.id != self.attempt.parent][-ENTRIES:]
        last = max((i for i, a in enumerate(ended) if a.accepted), default=-1)
        return ended[last + 1 :][-ENTRIES:]

    def siblings(self) -> list[str]:
        """What the other traces try or have, while this one has nothing accepted."""
        if not self.root or not self.settings.siblings:
            return []
        t = self.context.trajectory
        heads = [t.head(trace) for trace in t.accepted if trace != self.attempt.trace]
        at_work = [a for a in t.open_attempts() if a.trace not in (self.attempt.trace, -1)]
        found = {a.id: a for a in (*heads, *at_work) if a is not None and a.hypothesis is not None}
        ordered = sorted(found.values(), key=lambda a: a.number)[-SIBLINGS:]
        return [f"- {a.hypothesis.component}: {a.hypothesis.statement}" for a in ordered if a.hypothesis]

    def story(self, attempt: Attempt) -> str:
        """An attempt as an entry of a listing."""
        return story(attempt, self.context.trajectory, told=self.share != "none")

    def sections(self, more: Mapping[str, Section]) -> dict[str, Section]:
        """The sections that any prompt about this step may use, and `more`, most important first."""
        parent = self.context.parent
        good, bad = "Accepted on this trace before that", "Not accepted since"
        if self.narrow:
            good, bad = "Other attempts, with their scores", "Other attempts, which failed"
        found: dict[str, Section] = {
            **task_sections(self.context.task, self.context.profile, self.share, self.table),
            "scenario": Block("Analysis of the task, made before", self.scenario, "markdown"),
            "program": Block("The present program", program_of(parent), "python"),
            "standing": Block("How the present program stands", self.standing(parent)),
            "siblings": Listing("What the other traces try", self.siblings()),
            "successes": Listing(good, [self.story(a) for a in self.successes()]),
            "failures": Listing(bad, [self.story(a) for a in self.failures()]),
            **more,
        }
        return {name: found[name] for name in WEIGHTS if name in found}

    def standing(self, attempt: Attempt | None) -> str:
        """Scores and diagnostics of a solution."""
        if attempt is None:
            return ""
        lines = [self.story(attempt)]
        if attempt.scored and attempt.scored.fold_scores:
            lines.append("scores of the folds: " + ", ".join(number(s) for s in attempt.scored.fold_scores))
        hidden = self.narrow and not any(attempt.diagnostics.values())  # the scope shows no output
        if self.share != "none" and attempt.diagnostics and not hidden:
            told = json.dumps(steady(attempt.diagnostics), ensure_ascii=False, sort_keys=True, default=str)
            lines.append(f"diagnostics: {told}")
        if self.share != "none" and attempt.scored is None and attempt.execution and attempt.execution.error:
            lines.append(f"how it ended: {attempt.execution.error[-1500:]}")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """Our own words and figures that any prompt may use."""
        libraries = environment_libraries(self.context.trajectory.started)
        return {**task_facts(self.context.task, libraries), "root": self.root}

    def stage_facts(self) -> dict[str, Any]:
        """What the guidance for the stage is made from."""
        took = [a.execution.seconds for a in self.ended() if a.accepted and a.execution]
        started = self.context.trajectory.started
        budget = started.budget.seconds if started else None
        return {
            "stage": self.stage,
            "longest": coarse(max(took)) if took else "",
            "budget": number(budget) if budget else "",
        }

    async def ask(
        self,
        name: str,
        reply: type[T],
        *,
        check: Callable[[T], None] | None = None,
        sections: Mapping[str, Section] | None = None,
        role: CompletionRole = "researcher",
        facts: Mapping[str, Any] | None = None,
    ) -> T:
        """Make the call `name` with the prompt of this name; `sections` and `facts` are those beyond the usual."""
        limit = self.settings.prompt_characters
        told = {**self.facts(), **(facts or {})}
        user = render(name, limit=limit, sections=self.sections(sections or {}), weights=WEIGHTS, facts=told)
        system = render("system", limit=limit, sections={}, weights={}, facts={})
        return await self.context.complete(name, system=system, user=user, reply=reply, role=role, check=check)
