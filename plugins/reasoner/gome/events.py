"""What this reasoner says beyond the common vocabulary: its reading of the task, once per run and again when nothing
works. Whoever proposes or reflects later is handed the text with the request (`ProposalRequested.scenario`)."""

from __future__ import annotations

from gome.events import Intent, Payload, Text


class ScenarioRequested(Intent, frozen=True):
    """Asks for an analysis of the task. `round` counts them from 1; a further one has to explain the failures since."""

    round: int = 1


class ScenarioAnalysed(Payload, frozen=True):
    """What is there to be known about the task before anything is tried, as Markdown for later prompts."""

    round: int
    text: Text


class ScenarioFailed(Payload, frozen=True):
    """The task could not be analysed; the reasoner goes on with the task's own text."""

    round: int
    reason: str
