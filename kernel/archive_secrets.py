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

_MIXED = rb"(?=[A-Za-z0-9_-]{0,99}[0-9])(?=[A-Za-z0-9_-]{0,99}[A-Z])(?=[A-Za-z0-9_-]{0,99}[a-z])"
_KINDS: tuple[tuple[str, bytes, bytes], ...] = (
    ("an API key (sk-…)", b"sk-", _MIXED + rb"[A-Za-z0-9_-]{20,}"),
    ("an AWS access key", b"AKIA", rb"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("an AWS access key", b"ASIA", rb"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    *(("a GitHub token", b"gh%c_" % c, _MIXED + rb"[A-Za-z0-9]{36,}") for c in b"oprsu"),
    ("a GitHub token", b"github_pat_", rb"[A-Za-z0-9_]{50,}"),
    ("a GitLab token", b"glpat-", _MIXED + rb"[A-Za-z0-9_-]{20,}"),
    ("a Google API key", b"AIza", rb"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("a Hugging Face token", b"hf_", _MIXED + rb"[A-Za-z0-9]{30,}"),
    ("a Slack token", b"xox", rb"[abprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}"),
    ("a Stripe key", b"k_live_", _MIXED + rb"[A-Za-z0-9]{20,}"),
    ("an API key (gsk_…)", b"gsk_", _MIXED + rb"[A-Za-z0-9]{40,}"),
    ("an API key (nvapi-…)", b"nvapi-", _MIXED + rb"[A-Za-z0-9_-]{40,}"),
    ("an API key (xai-…)", b"xai-", _MIXED + rb"[A-Za-z0-9]{40,}"),
    ("a private key", b"-----BEGIN ", rb"(?:[A-Z]+ )*PRIVATE KEY-----"),
)
"""Kind, what it begins with, and what must follow. Searching for a fixed text is fifty times as fast as searching for
any of the patterns."""
_PATTERNS = tuple((kind, begin, re.compile(rest)) for kind, begin, rest in _KINDS)
_WORD = re.compile(rb"[A-Za-z0-9_-]")
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
        for kind, begin, rest in _PATTERNS:
            at = data.find(begin)
            while at >= 0:
                # In the middle of a word it is part of one; a Stripe key has one more letter in front.
                inside = at > 0 and begin[:1] not in b"-k" and _WORD.match(data, at - 1)
                if not inside and rest.match(data, at + len(begin)):
                    return kind
                at = data.find(begin, at + 1)
        return ""

    def kind_in(self, pieces: Iterator[bytes]) -> str:
        """The same for bytes that come in pieces."""
        rest = b""
        for piece in pieces:
            data = rest + piece
            if kind := self.kind(data):
                return kind
            rest = data[-OVERLAP:]
        return ""
