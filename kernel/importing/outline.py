"""A traces file taken apart: one competition after the other as places in a memory map, without parsing any of it.

What has been read is given back to the system as the reader goes on, so that memory is bounded by one competition.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gome.kernel.errors import UsageError
from gome.kernel.importing.fields import LOOP
from gome.kernel.importing.known import Known
from gome.kernel.importing.scan import Damage, Data, Members, skip_space, skip_value

_BOM = b"\xef\xbb\xbf"


@dataclass
class Outline:
    """Where a competition's members lie: (key, begin, end) in order. `begin` is where it begins itself, `origin` the
    digest of its bytes up to the end of its first loop, which names it. `damage` says where its structure breaks; what
    is listed lies before that. `why` is set where it is no object. With `known` the log has just these bytes: they were
    passed over, and `members` end with the first loop."""

    name: str
    begin: int
    end: int = 0
    members: list[tuple[str, int, int]] = field(default_factory=list)
    origin: str = ""
    damage: Damage | None = None
    why: str = ""
    known: Known | None = None


Skip = Callable[[Outline], Known | None]
"""Given a competition up to its first loop: its run, if the log has just these bytes of it."""


class Source:
    """A traces file, opened. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: Damage | None = None
        self._released = 0

    def __enter__(self) -> Source:
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            self.size = os.fstat(file).st_size
            if not self.size:
                raise UsageError(f"{self.path} is empty")
            self.data = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error
        finally:
            os.close(file)
        return self

    def __exit__(self, *reason: object) -> None:
        self.data.close()

    def bytes(self, begin: int, end: int) -> bytes:
        """A copy of some bytes."""
        return self.data[begin:end]

    def release(self, end: int) -> None:
        """Nobody asks for bytes before `end` any more."""
        end -= end % mmap.PAGESIZE
        if end > self._released:
            self.data.madvise(mmap.MADV_DONTNEED, self._released, end - self._released)
            self._released = end

    def competitions(self, skip: Skip = lambda outline: None) -> Iterator[Outline]:
        """Each competition in the file's order; where the file is damaged its part comes last and `damage` is set."""
        data = self.data
        try:
            top = Members(data, len(_BOM) if data[:3] == _BOM else 0)
            while (member := top.next()) is not None:
                outline = _outline(data, *member, skip)
                if outline.damage is None:
                    top.at = outline.end
                yield outline
                if outline.damage is not None:
                    self.damage = outline.damage
                    return
            if (rest := skip_space(data, top.at)) < len(data):
                raise Damage(rest, "more bytes behind the end of the object")
        except Damage as damage:
            self.damage = damage


def _outline(data: Data, name: str, begin: int, skip: Skip) -> Outline:
    outline = Outline(name, begin)
    try:
        if begin >= len(data) or data[begin] != ord("{"):
            outline.end = skip_value(data, begin)
            outline.why = "it is no object"
            return outline
        found = Members(data, begin)
        while (member := found.next()) is not None:
            key, at = member
            found.at = skip_value(data, at)
            outline.members.append((key, at, found.at))
            if not outline.origin and LOOP.fullmatch(key):
                outline.origin = hashlib.sha256(data[begin : found.at]).hexdigest()
                if (old := skip(outline)) is not None and old.done is not None:
                    outline.end, outline.known = begin + old.done.size, old
                    return outline
        outline.end = found.at
    except Damage as damage:
        outline.damage = damage
        outline.end = damage.offset
    return outline
