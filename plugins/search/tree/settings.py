"""What the settings of all tree searches have in common, and how a table becomes a policy's struct.

The constants of a policy stand in its own module, with the published values as defaults.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Variant = Literal["released", "repaired"]
"""`released`: as the published code works, anomalies included; `repaired`: as it was evidently meant."""


class TreeSettings(Struct, frozen=True):
    """After `failures` steps in a row that failed before they could be scored the search gives up."""

    failures: Count = 40


class ScaledSettings(TreeSettings, frozen=True):
    """`scaled`: whatever depends on time or on a count of steps goes by the share of the run's own budget that is used,
    so that a short run sees the whole algorithm; otherwise the published numbers of steps and seconds count. While
    scaled, the first drafts take at most the share `drafting` of the budget, unless capacity would be left free."""

    scaled: bool = True
    drafting: Share = 0.25


T = TypeVar("T", bound=TreeSettings)


def read_settings(kind: type[T], table: object) -> T:
    """Return the settings of a table as it stands in `RunStarted.settings`; unknown keys are ignored."""
    known = table if isinstance(table, dict) else {}
    return kind(**{k: known[k] for k in kind.__struct_fields__ if k in known})
