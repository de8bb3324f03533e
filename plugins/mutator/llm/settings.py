"""The table `[llm]` of the settings: how programs are written, checked and repaired."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct


class LlmSettings(Struct, frozen=True):
    """How a model writes programs.

    `edit` says how it changes one: `whole` returns the whole file, `patch` a list of replacements, `auto` a patch where
    the program is long enough to be worth it. `repairs` is how many times an attempt's program is rewritten after a
    failure or a fault that a review found. With `review` a judge model looks at each version before its full execution.
    `program_kb` bounds a program, in KiB.
    """

    edit: Literal["auto", "whole", "patch"] = "auto"
    repairs: Annotated[int, Meta(ge=0, le=20)] = 3
    review: bool = True
    program_kb: Annotated[int, Meta(ge=1, le=256)] = 48

    @property
    def program_bytes(self) -> int:
        """Bytes that a program may have."""
        return self.program_kb << 10


def settings_of(table: dict[str, Any] | None) -> LlmSettings:
    """Read the table as it stands in `RunStarted.settings`."""
    return msgspec.convert(table or {}, LlmSettings)
