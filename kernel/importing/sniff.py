"""What a file is, by its first bytes and never by its name."""

from __future__ import annotations

import re
from pathlib import Path

from gome.kernel.errors import UsageError

_BEGINS = re.compile(rb'\s*\{\s*(?:\}|"[A-Za-z0-9_-]{1,200}"\s*:\s*\{)')
_MEMBER = re.compile(rb'"(?:scenario|loop_\d{1,9})"\s*:|\A\s*\{\s*\}|:\s*\{\s*\}')
_HEAD = 1 << 16


def is_traces(path: Path) -> bool:
    """Whether a file begins like a traces file: competitions by name, each with a scenario and loops."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    head = head.removeprefix(b"\xef\xbb\xbf")
    return _BEGINS.match(head) is not None and _MEMBER.search(head) is not None
