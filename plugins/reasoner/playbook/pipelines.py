"""What the attempts of a run make of pipelines: the specification of each, its content key, and the keys in use.

Deciding asks for the same specifications again and again, so each is read once; what is kept depends on nothing but
the specification itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from gome.events import Attempt
from gome.events.pipeline import Member, Pipeline, apply_change, member_key, read_pipeline, to_spec

Spec = dict[str, Any]

key_of = lru_cache(maxsize=32_768)(member_key)
"""Content key of a member; members are values, so it is computed once for each."""


def content_key(pipeline: Pipeline) -> str:
    """Return what makes a program a different one: its members in any order, and the blend.

    The weights of a blend do not depend on the order of its members, so a reordered pipeline is not a new one.
    """
    blend = msgspec.json.encode(pipeline.blend, order="sorted").decode()
    return " ".join([*sorted(key_of(m) for m in pipeline.members), blend])


@dataclass(frozen=True)
class Read:
    """A specification once read: the pipeline, its content key, and its members as plain values."""

    pipeline: Pipeline
    key: str
    members: tuple[Spec, ...]


_READ: dict[str, Read | None] = {}
"""What was read, by the digest of the program that was rendered from it; emptied when it grows large."""


def pipeline_of(attempt: Attempt) -> Read | None:
    """Return an attempt's pipeline; None if its program was not rendered from one."""
    if attempt.code is None or not attempt.code.spec:
        return None
    digest = attempt.code.digest
    if digest not in _READ:
        if len(_READ) > 20_000:
            _READ.clear()
        try:
            pipeline = read_pipeline(attempt.code.spec)
            members = tuple(member_spec(m) for m in pipeline.members)
            _READ[digest] = Read(pipeline, content_key(pipeline), members)
        except ValueError:
            _READ[digest] = None
    return _READ[digest]


@lru_cache(maxsize=32_768)
def member_spec(member: Member) -> Spec:
    """Return a member as plain values, defaults left out, its model always named; shared, so not to be changed."""
    spec: Spec = to_spec(Pipeline(members=(member,)))["members"][0]
    return spec


def _key_of_open(attempt: Attempt, attempts: Mapping[str, Attempt]) -> str | None:
    """Key of what an attempt without code was going to be, from its hypothesis."""
    if attempt.hypothesis is None or not attempt.hypothesis.change:
        return None
    parent = attempts.get(attempt.parent)
    spec = parent.code.spec if parent and parent.code else {}
    try:
        return content_key(apply_change(spec, attempt.hypothesis.change))
    except ValueError:
        return None


def known_keys(attempts: Mapping[str, Attempt], seen: Iterable[Attempt] | None = None) -> frozenset[str]:
    """Return the keys of the pipelines of the attempts that are seen (None: of all), and of everything in flight."""
    keys = set()
    for attempt in (*(attempts.values() if seen is None else seen), *_open(attempts.values())):
        found = pipeline_of(attempt)
        key = found.key if found else _key_of_open(attempt, attempts)
        if key:
            keys.add(key)
    return frozenset(keys)


def _open(attempts: Iterable[Attempt]) -> list[Attempt]:
    return [a for a in attempts if a.accepted is None]


def pending_members(attempts: Iterable[Attempt]) -> frozenset[str]:
    """Return the keys of members that attempts in flight may be fitting right now."""
    keys: set[str] = set()
    for attempt in _open(attempts):
        found = pipeline_of(attempt)
        if found and attempt.scored is None:
            keys.update(key_of(m) for m in found.pipeline.members)
    return frozenset(keys)
