"""A playbook that reasons worse than it can, by a known amount: for experiments on how searches cope with a weak one.

The strength s perturbs what is believed, in four channels that are switched on singly; what was measured is never
touched, and memory is applied after the perturbation, so that a run can learn better:

- *diagnosis*: with probability 1 − s a step answers a challenge that is drawn, whatever the evidence says.
- *forecast*: the prior of each move (its gain and its chance) is mixed, by 1 − s, with that of the move which one
  permutation, drawn once per run, puts in its place: a wrong belief that stays, not fresh noise.
- *implementation*: with probability d(s) = (1 − s) / 2 the program gets a fault, a crash or (as often) a silent harm;
  the specification declares it and the program shows it.
- *reflection*: with probability f(s) = (1 − s) / 2 the opinion and the lesson say the opposite.

Draws depend on the run's seed and the attempt's name alone, so that equal steps of different searches get equal draws.
What a search asks for by the kind of a step (a draft, a repair, a crossing, a merge) is no diagnosis and stays.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from gome.events import Challenge, Draw
from gome.events.pipeline import Pipeline, to_spec
from gome.kernel.reasoning import Feedback, ReasonContext
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.pipelines import content_key, key_of
from gome.plugins.reasoner.playbook.settings import Channel, Settings, read_settings

MOST = 0.5
"""Probability of a fault, and of a wrong opinion, at strength 0."""
TYPICAL: Mapping[str, tuple[float, float]] = {
    "features": (0.012, 0.55),
    "select columns": (0.004, 0.35),
    "drop features": (0.0015, 0.35),
    "more rounds": (0.012, 0.65),
    "more leaves": (0.006, 0.5),
    "less capacity": (0.006, 0.45),
    "finer steps": (0.006, 0.6),
    "target": (0.006, 0.4),
    "loss": (0.004, 0.35),
    "class weight": (0.003, 0.4),
    "temperature": (0.007, 0.5),
    "encoding": (0.004, 0.4),
    "bag": (0.005, 0.6),
    "join": (0.015, 0.7),
    "add member": (0.008, 0.6),
    "add variant": (0.004, 0.45),
    "prune": (0.001, 0.5),
    "blend kind": (0.002, 0.4),
    "tune": (0.003, 0.35),
}
"""Prior gain and chance that the catalogue usually gives a move (not those that the kind of a step asks for)."""


class Weakness:
    """What a strength does to the reasoning about one step."""

    def __init__(self, settings: Settings, seed: int, attempt: str) -> None:
        self.settings = settings
        self.draw = Draw(seed, f"playbook/{attempt}")
        self._run = Draw(seed, "playbook")

    @classmethod
    def of(cls, context: ReasonContext) -> Weakness:
        """The weakness of a step as its context says."""
        return cls(read_settings(context.settings), context.draw.seed, context.attempt.id)

    def _missing(self, channel: Channel) -> float:
        """1 − s where a channel is on, else 0."""
        return 1.0 - self.settings.strength if channel in self.settings.channels else 0.0

    def misled(self) -> bool:
        """Whether the step's diagnosis is drawn."""
        return self.draw.uniform("diagnosis") < self._missing("diagnosis")

    def drawn(self, names: Iterable[str]) -> list[Challenge]:
        """All challenges in the order in which they are drawn: the first that a move can answer is taken."""
        why = f"Drawn, whatever the evidence says: the strength of diagnosis is {self.settings.strength:g} of 1."
        return [Challenge(name, why, 1.0) for name in self.draw.shuffled(sorted(set(names)), "challenge")]

    def believed(self, ideas: Sequence[Idea]) -> list[Idea]:
        """The ideas with the priors that are believed in."""
        missing = self._missing("forecast")
        if not missing:
            return list(ideas)
        names = list(TYPICAL)
        taken_for = dict(zip(names, self._run.shuffled(names, "forecast"), strict=True))
        return [_mixed(idea, taken_for[idea.move], missing) if idea.move in taken_for else idea for idea in ideas]

    def spoilt(self, pipeline: Pipeline, parent: Iterable[str], known: Container[str] = ()) -> dict[str, Any] | None:
        """The change that makes the pipeline with a fault in one of its members, a new one where there is any
        (`parent` are the keys of the parent's); None where there is to be no fault, or none that makes a program whose
        content key is not known."""
        if not self.draw.uniform("fault") < MOST * self._missing("implementation"):
            return None
        old = set(parent)
        places = range(len(pipeline.members))
        new = [i for i in places if key_of(pipeline.members[i]) not in old]
        place = self.draw.choice(new or list(places), "place")
        for kind in self.draw.shuffled(("crash", "noise"), "kind"):
            members = list(pipeline.members)
            members[place] = msgspec.structs.replace(members[place], fault=kind)
            found = msgspec.structs.replace(pipeline, members=tuple(members))
            if content_key(found) not in known:
                return {"pipeline": to_spec(found)}
        return None

    def mistaken(self) -> bool:
        """Whether the opinion of an attempt is the wrong one."""
        return self.draw.uniform("reflection") < MOST * self._missing("reflection")


def _mixed(idea: Idea, other: str, share: float) -> Idea:
    """An idea whose prior is by `share` that of another move, in proportion to what is usual for both."""
    (gain, chance), (other_gain, other_chance) = TYPICAL[idea.move], TYPICAL[other]
    return replace(
        idea,
        gain=idea.gain * (1.0 - share + share * other_gain / gain),
        chance=min(0.95, idea.chance * (1.0 - share + share * other_chance / chance)),
    )


OPPOSITES = {"helped": "did harm", "did harm": "helped", "made no clear difference": "helped"}
"""What a wrong lesson says instead."""


def wrong(feedback: Feedback, clear: str) -> Feedback:
    """The opposite opinion and lesson (`clear` is what the right one says); observations and figures stay."""
    lesson = feedback.lesson
    if clear:
        lesson = f"{lesson.rpartition(f' {clear} (')[0]} {OPPOSITES[clear]}"
    return replace(feedback, accept=not feedback.accept, lesson=lesson)
