"""What search and memory say: the next step of a trace and what to remember for it."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from gome.events.payload import Intent, Payload

StepKind = Literal["draft", "improve", "debug", "merge", "crossover", "evolution", "fusion"]
Stage = Literal["draft", "improve", "ensemble"]


class StepPlanned(Payload, frozen=True):
    """The search plans one step. `attempt` is the attempt's name in the run (`a1`, `a2`, … in planning order), `trace`
    the 0-based branch it belongs to, `parent` the attempt it builds on ("" for a draft), `parents` further ones.

    `context` names the scope of the run that the reasoner is shown for it ("": the gradient's, which is everything). A
    `debug` step repairs a parent that failed; `crossover` joins two parents (the second in `parents`), `evolution`
    improves on a parent with its lineage in view, `fusion` borrows from the best attempts of other branches
    (`parents`), without a parent as a new branch."""

    attempt: str
    trace: int
    step: int
    kind: StepKind = "draft"
    stage: Stage = "draft"
    parent: str = ""
    parents: tuple[str, ...] = ()
    reason: str = ""
    context: str = ""
    begins_chain: ClassVar[bool] = True


class SearchEnded(Payload, frozen=True):
    """The search will plan no further step and none is open; said at most once."""

    reason: str


class RecallRequested(Intent, frozen=True):
    """Asks the memory what is worth knowing for a step, as of a position in the run.

    `memory` is the digest of the memory's content there, so that equal questions to equal memories are equal. `query`
    is the trace's latest idea; `queries` are candidate hypotheses, when a reasoner asks once it has some: each of them
    interacts with every entry.
    """

    attempt: str
    trace: int
    parent: str
    position: int
    memory: str = ""
    query: str = ""
    limit: int = 8
    queries: tuple[str, ...] = ()
    volatile: ClassVar[tuple[str, ...]] = ("attempt", "position")


class Recollection(Struct, frozen=True, omit_defaults=True):
    """One remembered attempt with its weight for the present step (similarity, gain and age combined, ≥ 0).

    `similarity` in [-1, 1] is that to the question, the largest one where candidates ask. `score`, `lesson` and
    `failure` (the class of a failure) are said where they are known. An attempt of another run is named `run:attempt`;
    its `gain` is in units of its own metric.
    """

    attempt: str
    weight: float
    similarity: float = 0.0
    gain: float = 0.0
    statement: str = ""
    move: str = ""
    accepted: bool = True
    score: float | None = None
    lesson: str = ""
    failure: str = ""


class MemoryRecalled(Payload, frozen=True):
    """Successes and failures worth knowing for a step, best first.

    `embedder` names what similarity was measured with ("" where nothing was compared), `notice` says for a person what
    the memory had to do without.
    """

    attempt: str
    recollections: tuple[Recollection, ...] = ()
    embedder: str = ""
    notice: str = ""
