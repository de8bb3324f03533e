"""What is said about a run that was recorded elsewhere and imported: where it comes from, and what had no other place.

An imported run has the events of a live one as far as its source tells them (`RunStarted` with the profile `imported`,
`StepPlanned`, `CodeWritten`, …), all on the lane `import` and none of them a decision of gome's. The types here keep
the rest verbatim, so that the source can be written again.
"""

from __future__ import annotations

from msgspec import field

from gome.events.artifact import Text
from gome.events.payload import Payload

IMPORTED = "imported"
"""The `profile` in the first event of an imported run."""


class ScenarioImported(Payload, frozen=True):
    """What the source says about the task: a JSON object, verbatim."""

    fields: Text


class LoopImported(Payload, frozen=True):
    """One iteration of the source has become the attempt of this name; said last of its events.

    `digest` is of the iteration's own bytes. `rule` says how its parent was found. `base` names the attempt whose
    program the iteration started from word for word, `base_code` is that program where no attempt has it. `fields` is
    a JSON object of everything else the iteration says, verbatim, `code` too where the source's is no readable text;
    grades on hidden answers are in the vault. `order` are the names of all its fields in the source's order.
    """

    attempt: str
    digest: str
    rule: str
    fields: Text
    base: str = ""
    base_code: Text = Text(text="")
    order: tuple[str, ...] = ()


class PartKept(Payload, frozen=True):
    """A part of the source became no attempt: its name, why, where its bytes begin in the source, and the bytes: as
    `text`, or, where they are no text or may hold grades, under `digest` in the private store beside the hidden
    answers. One that is `damaged` is replaced by its like in a better copy of the source."""

    name: str
    reason: str
    offset: int
    text: Text = Text(text="")
    digest: str = ""
    damaged: bool = False


class ImportCompleted(Payload, frozen=True):
    """A source has been taken into the run; said once per import that added something.

    `source` is the trace's name, `digest` and `size` are of all bytes read, `whole` whether the source was undamaged
    (else the run stays open, and a whole copy may add what is missing). `unseen` counts fields this version does not
    know, `rules` the rules by which parents were found, `problems` what could not be read or had to be kept apart.
    """

    source: str
    digest: str
    whole: bool
    loops: int
    accepted: int
    failed: int
    unseen: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    problems: int = 0
    size: int = 0  # apart from the digest: side by side they would name a file in the artifact store


class ReportImported(Payload, frozen=True):
    """A test report of the source; it lives in the vault, never in a run's log.

    `medal` is gold, silver, bronze or "". Fields are None where the report does not say. `fields` is a JSON object of
    everything the iteration says about hidden answers, verbatim.
    """

    attempt: str
    fields: Text
    score: float | None = None
    medal: str | None = None
    above_median: bool | None = None
    valid: bool | None = None
