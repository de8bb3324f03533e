"""The analysis of the task (call C0): made once, kept as Markdown, handed to every later call."""

from __future__ import annotations

from gome.events import Text
from gome.kernel.completing import Completer
from gome.kernel.loop import completion_settings
from gome.kernel.plugin import Context
from gome.plugins.reasoner.gome.events import ScenarioAnalysed, ScenarioRequested
from gome.plugins.reasoner.gome.quoting import environment_libraries, story, task_facts, task_sections
from gome.plugins.reasoner.gome.render import Listing, render
from gome.plugins.reasoner.gome.replies import Scenario
from gome.plugins.reasoner.gome.settings import read_settings
from gome.plugins.reasoner.gome.situation import ENTRIES, WEIGHTS, table_head


async def analyse(asked: ScenarioRequested, ctx: Context) -> ScenarioAnalysed:
    """Ask for the analysis; from the second round on with the failures so far."""
    task, t = ctx.started.task, ctx.trajectory
    completion, settings = completion_settings(ctx.started.settings), read_settings(ctx.settings)
    profile = t.profiled.profile if t.profiled else {}
    failed = [a for a in t.attempts.values() if a.accepted is False and a.failure] if asked.round > 1 else []
    stories = [story(a, t, told=completion.share != "none") for a in failed[-ENTRIES:]]
    user = render(
        "scenario",
        limit=settings.prompt_characters,
        sections={
            **task_sections(task, profile, completion.share, table_head(ctx)),
            "failures": Listing("Failed attempts", stories),
        },
        weights=WEIGHTS,
        facts={**task_facts(task, environment_libraries(ctx.started)), "scenario": ""},
    )
    system = render("system", limit=settings.prompt_characters, sections={}, weights={}, facts={})
    complete = Completer(ctx.call, completion)
    reply = await complete("scenario", system=system, user=user, reply=Scenario)
    return ScenarioAnalysed(round=asked.round, text=Text.of(markdown(reply), pooled=True))


def markdown(scenario: Scenario) -> str:
    """The analysis as later prompts quote it."""

    def listed(items: list[str]) -> str:
        return "\n".join(f"- {item}" for item in items) or "- none"

    return "\n\n".join(
        [
            f"Problem: {scenario.problem}",
            f"Data: {scenario.data}",
            f"Metric: {scenario.metric}",
            f"Traps:\n{listed(scenario.traps)}",
            f"Approaches, strongest first:\n{listed(scenario.approaches)}",
        ]
    )
