"""What the fields of the vocabulary share: their ranges, and the strictness of reading them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e6)]
Columns = tuple[str, ...]


class Closed(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the vocabulary: unknown fields are errors; see `to_spec` for how it is written."""
