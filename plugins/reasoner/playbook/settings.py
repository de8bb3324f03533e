"""The playbook's table in the settings (`[playbook]`): how well it reasons, and what it may look at."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Channel = Literal["diagnosis", "forecast", "implementation", "reflection"]
CHANNELS: tuple[Channel, ...] = ("diagnosis", "forecast", "implementation", "reflection")


class Settings(Struct, frozen=True):
    """`strength` in [0, 1] says how well the playbook reasons: at 1 as well as it can, below in the named `channels`
    worse (see `strength.py`). `diagnostics` false hides what executions and the scorer say beyond scores and failures.
    """

    strength: Annotated[float, Meta(ge=0, le=1)] = 1.0
    channels: tuple[Channel, ...] = CHANNELS
    diagnostics: bool = True


def read_settings(table: Any) -> Settings:
    """Return the settings of a table as it stands in `RunStarted.settings`."""
    return msgspec.convert(table or {}, Settings)
