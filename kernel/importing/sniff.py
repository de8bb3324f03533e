"""What a file is, by its first bytes and never by its name."""

from __future__ import annotations

import re
from pathlib import Path

from gome.kernel.errors import UsageError

_TRACES = re.compile(rb'\s*\{\s*(?:\}|"[A-Za-z0-9_-]{1,200}"\s*:\s*\{\s*(?:\}|"(?:scenario|loop_\d+)"\s*:))')
_HEAD = 4096


def is_traces(path: Path) -> bool:
    """Whether a file begins like a traces file: competitions by name, each with a scenario and loops."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return _TRACES.match(head.removeprefix(b"\xef\xbb\xbf")) is not None
