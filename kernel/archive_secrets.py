"""Looking for secrets in what is about to leave the machine: values that this process knows, and what looks like keys.

An export passes every record and every file through a `Scanner` before a byte of the archive is written. A finding says
where and what kind, never the secret. A pattern asks for a prefix that providers reserve and for a body as random as
theirs are, because there is no way to overrule a finding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import msgspec

SHORTEST = 8
"""Characters of the shortest known value that is looked for: shorter ones are words of every run."""
OVERLAP = 4096
"""Bytes that two pieces of a file share, so that a secret on their border is found; the longest known value that is
looked for is as long."""

_MIXED = rb"(?=[A-Za-z0-9_-]*[0-9])(?=[A-Za-z0-9_-]*[A-Z])(?=[A-Za-z0-9_-]*[a-z])"
_KINDS: dict[str, bytes] = {
    "an API key (sk-…)": rb"sk-" + _MIXED + rb"[A-Za-z0-9_-]{20,}",
    "an AWS access key": rb"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "a GitHub token": rb"(?:gh[pousr]_" + _MIXED + rb"[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    "a GitLab token": rb"glpat-" + _MIXED + rb"[A-Za-z0-9_-]{20,}",
    "a Google API key": rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
    "a Hugging Face token": rb"hf_" + _MIXED + rb"[A-Za-z0-9]{30,}",
    "a Slack token": rb"xox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}",
    "a Stripe key": rb"[rs]k_live_" + _MIXED + rb"[A-Za-z0-9]{20,}",
    "an API key (gsk_…)": rb"gsk_" + _MIXED + rb"[A-Za-z0-9]{40,}",
    "an API key (nvapi-…)": rb"nvapi-" + _MIXED + rb"[A-Za-z0-9_-]{40,}",
    "an API key (xai-…)": rb"xai-" + _MIXED + rb"[A-Za-z0-9]{40,}",
    "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
}
_PATTERNS = re.compile(rb"(?<![A-Za-z0-9_-])(?:" + b"|".join(b"(%b)" % pattern for pattern in _KINDS.values()) + rb")")
_NAMES = tuple(_KINDS)
KNOWN = "a secret of this environment or of the secrets file"


class Scanner:
    """Finds the `known` values (as they are, and as JSON writes them) and whatever looks like a key."""

    def __init__(self, known: Iterable[str]) -> None:
        forms: set[bytes] = set()
        for value in known:
            if len(value) >= SHORTEST:
                forms |= {value.encode(), json.dumps(value)[1:-1].encode(), msgspec.json.encode(value)[1:-1]}
        self._known = sorted(form for form in forms if len(form) <= OVERLAP)

    def kind(self, data: bytes) -> str:
        """What kind of secret some bytes hold; "" when there is none."""
        if any(form in data for form in self._known):
            return KNOWN
        found = _PATTERNS.search(data)
        return _NAMES[found.lastindex - 1] if found and found.lastindex else ""

    def kind_in(self, pieces: Iterator[bytes]) -> str:
        """The same for bytes that come in pieces."""
        rest = b""
        for piece in pieces:
            data = rest + piece
            if kind := self.kind(data):
                return kind
            rest = data[-OVERLAP:]
        return ""
