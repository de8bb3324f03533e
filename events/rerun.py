"""What a rerun says: recorded code runs again, in a run of its own, and its score is compared with the recorded one."""

from __future__ import annotations

from typing import Literal

from gome.events.artifact import Artifact, Text
from gome.events.execution import Limits
from gome.events.payload import Payload

Basis = Literal["rows", "metric", "nothing"]
"""What a recorded and a new score have in common: `rows` (the same tables, so that they differ by the program and its
luck only), `metric` (the same metric on other rows), `nothing`."""


class RerunRequested(Payload, frozen=True):
    """Somebody wants the program of a recorded attempt run again; said with the first event of a run of its own.

    `source` and `attempt` name the recorded run and its attempt. `recorded` is its score and `recorded_se` the score's
    standard error over rows, where there were any; `oof` its out-of-fold predictions, given where the basis is `rows`
    and they are at hand. Folds are dealt with `folds_seed`, as `folds` of each of `partitions`; the program runs with
    `seed` on `partition`, in full or as a debug execution.
    """

    source: str
    attempt: str
    program: Text
    purpose: Literal["debug", "full"] = "full"
    seed: int = 0
    partition: int = 0
    limits: Limits = Limits()
    folds_seed: int = 0
    folds: int = 5
    partitions: int = 8
    basis: Basis = "nothing"
    recorded: float | None = None
    recorded_se: float | None = None
    oof: Artifact | None = None


class RerunCompared(Payload, frozen=True):
    """What came of a rerun.

    `outcome` is `reproduced` or `different` (a score on the same rows, within noise of the recorded one or not),
    `scored` (a score without a recorded one on the same rows), `ran` (a debug execution, which has no score),
    `unchecked` (it ended well but left no out-of-fold predictions, so that no score can be computed) or `failed`.
    `difference` is the new minus the recorded score, positive better, and `se` its standard error over rows: `paired`
    where both predicted the same rows, else as if the two were independent. `claim` is the number that the program
    printed last in a line about its score, which nobody has checked. `failure` is the class of a failure.
    """

    attempt: str
    outcome: Literal["reproduced", "different", "scored", "ran", "unchecked", "failed"]
    score: float | None = None
    score_se: float | None = None
    recorded: float | None = None
    difference: float | None = None
    se: float | None = None
    paired: bool = False
    claim: float | None = None
    failure: str = ""
    reason: str = ""
