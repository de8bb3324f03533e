"""The search's table in the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True):
    """`draft` and `ensemble` are shares of the budget in [0, 1] at which the stage becomes `improve` and `ensemble`;
    `parents` is how many other traces a merge sees; after `failures` steps in a row that failed before they could be
    scored the search gives up. A trace whose score is more than `restart` of its standard errors behind the best one's
    is lost, and its next step builds on the best solution (0: never; nor without `parents`). `scheduler` says who is
    next (see `schedule`); `potential` is what `softmax` and `puct` prefer: nothing, long traces, those with many
    accepted attempts, or those that have gained most, the more so the lower the `temperature`; `c_puct` weighs
    exploration in `puct`."""

    draft: Share = 0.08
    ensemble: Share = 0.35
    parents: Annotated[int, Meta(ge=0)] = 4
    failures: Annotated[int, Meta(ge=1)] = 40
    restart: Annotated[float, Meta(ge=0)] = 2.0
    scheduler: Literal["round-robin", "softmax", "puct"] = "round-robin"
    potential: Literal["uniform", "length", "accepted", "gain"] = "uniform"
    temperature: Annotated[float, Meta(gt=0)] = 1.0
    c_puct: Annotated[float, Meta(ge=0)] = 1.0


def read_settings(table: object) -> Settings:
    """Return the settings of a table as it stands in `RunStarted.settings`; unknown keys are ignored."""
    known = table if isinstance(table, dict) else {}
    return Settings(**{k: known[k] for k in Settings.__struct_fields__ if k in known})
