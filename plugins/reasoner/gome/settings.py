"""The reasoner's table in the settings (`[gome]`); read by whoever performs. What the ablations take away is the
loop's table, not this one (see `gome.kernel.loop.LoopSettings`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True):
    """How proposals are made.

    `selection` is who chooses among the hypotheses: a `model` that is shown the success memory and may also modify or
    create one, or the `ranking` alone (which also decides where the model's choice cannot be had). `ranking` is
    `robust` (weighted scores to the end, ties drawn) or `published` (the weighted scores only choose five, between
    which a lottery by kind of challenge decides). `critique` adds two calls that question the hypotheses and rewrite
    them. `siblings` shows a trace that has nothing accepted yet what the other traces try, so that it tries something
    else. Below `draft_until` of the budget simple changes are asked for, above `ensemble_from` ensembles.
    `prompt_characters` bounds the user's message of every call.
    """

    selection: Literal["model", "ranking"] = "model"
    ranking: Literal["robust", "published"] = "robust"
    critique: bool = False
    siblings: bool = True
    draft_until: Share = 0.1
    ensemble_from: Share = 0.7
    prompt_characters: Annotated[int, Meta(ge=12_000)] = 60_000


def read_settings(table: Any) -> Settings:
    """Return the settings of a table as it stands in `RunStarted.settings`."""
    return msgspec.convert(table or {}, Settings)
