"""Old payload shapes to today's. A step is a pure function on plain JSON values, keyed by type and the version it
starts from; the codec chains them while decoding. The log itself is never rewritten.

There is one released shape of every type so far, so the table is empty; `tests/events/test_codec.py` shows a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: Mapping[tuple[str, int], Upcast] = {}


def upcast(
    kind: str, version: int, today: int, data: dict[str, Any], table: Mapping[tuple[str, int], Upcast] = UPCASTS
) -> dict[str, Any]:
    """Bring `data` from `version` to `today`; raises LookupError when a step is missing."""
    while version < today:
        step = table.get((kind, version))
        if step is None:
            raise LookupError(f"no upcast of {kind} from version {version} to {version + 1}")
        data = step(data)
        version += 1
    return data
