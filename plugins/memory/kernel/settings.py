"""The memory's table in the settings; read by the decider and by the performer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Settings(Struct, frozen=True):
    """`rule` is how memories are weighed and drawn (see `recall`; the profiles `robust` and `published` set it),
    `limit` how many a step is told, `failures` how many of those may be failures, `backend` what computes similarities
    (`auto`: torch where it is installed, else numpy)."""

    rule: Literal["robust", "published"] = "robust"
    limit: int = 12
    failures: int = 4
    backend: Literal["auto", "torch", "numpy"] = "auto"


def read_settings(table: object) -> Settings:
    """Return the settings of a table as it stands in `RunStarted.settings`; unknown keys are ignored."""
    known = table if isinstance(table, dict) else {}
    return Settings(**{k: known[k] for k in Settings.__struct_fields__ if k in known})
