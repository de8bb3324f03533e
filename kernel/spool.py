"""Results on disk before they are in the log: what was done (and paid for) survives a crash before its append.

A *slot* is a file that holds the encoded draft of one result at a time. The order of work: perform, `put`, append,
`drop`. After a crash whoever drives the run appends what `pending` lists first; the result's id is computed from the
intent, so that one that had been appended after all counts once. Appending is the business of `gome.kernel.effects`.

A process makes as many slots as it has results under way at once, and writes into them again and again: data that go
to blocks a file already has need one flush, where making, renaming and removing a file cost five times that. Slots are
locked by the process that made them; those of a dead process are removed by whoever drops their results.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from gome.kernel.errors import GomeError

_HELD = b"gome-spool-2\n"
_FREE = b"gome-spool--\n"
_START = len(_HELD) + 8 + 32
"""Bytes before the content: the mark, the content's size, its SHA-256."""
_SUFFIX = ".result"


class _Stored(Struct, array_like=True):
    order: int
    run: str
    intent: str
    data: bytes


class Pending(Struct, frozen=True):
    """Results that wait to be appended, oldest first, and files that are not whole (somebody should look at them; they
    are put aside and told of once)."""

    results: tuple[tuple[str, bytes], ...] = ()
    torn: tuple[Path, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


@dataclass(eq=False)
class _Slot:
    """A file of ours, open and locked."""

    path: Path
    fd: int

    def read(self) -> bytes:
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)


class Spool:
    """A folder of slots, `root/*.result`, which any number of processes share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._order = 0
        self._held: dict[tuple[str, str], _Slot] = {}
        self._free: list[_Slot] = []

    def put(self, run: str, intent: str, data: bytes) -> None:
        """Keep the bytes of an intent's result; durable when it returns. A second one replaces the first."""
        _check(run, intent)
        before = self._held.get((run, intent))
        try:
            if not self._order:
                self._order = max((s.order for s in self._others()), default=0)
            self._order += 1
            body = _encode(_Stored(self._order, run, intent, data))
            head = _HELD + len(body).to_bytes(8, "big") + hashlib.sha256(body).digest()
            if self._free:
                slot = self._free[-1]
                # A process that is killed in between leaves a slot that is still marked as free.
                _write(slot.fd, body, _START)
                _write(slot.fd, head, 0)
                os.fdatasync(slot.fd)
                self._free.pop()
            else:
                slot = self._make(head + body)
        except OSError as error:
            raise GomeError(f"cannot spool the result of intent {intent} to {self.root}: {error.strerror}") from error
        self._held[run, intent] = slot
        if before is not None:
            self._let_go(before)
        else:
            self._remove(run, intent)

    def get(self, run: str, intent: str) -> bytes | None:
        """Return the spooled bytes of one intent's result, None when there are none or they are not whole."""
        if (slot := self._held.get((run, intent))) is not None:
            stored = _whole(slot.read())
            return stored.data if stored else None
        found = [s for s in self._others() if (s.run, s.intent) == (run, intent)]
        return max(found, key=lambda s: s.order).data if found else None

    def drop(self, run: str, intent: str) -> None:
        """Forget a result that is in the log; absent is fine. Not synced: appending a result twice is harmless. What a
        living process keeps is left to it."""
        _check(run, intent)
        slot = self._held.pop((run, intent), None)
        if slot is not None:
            self._let_go(slot)
        self._remove(run, intent)

    def pending(self, run: str) -> Pending:
        """Return a run's spooled results in the order in which they were put, and the files that are torn."""
        newest: dict[str, _Stored] = {}
        for stored in sorted((s for s in self._stored() if s.run == run), key=lambda s: s.order):
            newest.pop(stored.intent, None)
            newest[stored.intent] = stored
        return Pending(tuple((s.intent, s.data) for s in newest.values()), tuple(self._put_aside()))

    def runs(self) -> list[str]:
        """Return the runs that have results here, sorted."""
        return sorted({s.run for s in self._stored()})

    def close(self) -> None:
        """Let go of our slots; those with a result in them stay on disk."""
        for slot in self._free:
            slot.path.unlink(missing_ok=True)
        for slot in (*self._free, *self._held.values()):
            os.close(slot.fd)
        self._free.clear()
        self._held.clear()

    def _make(self, content: bytes) -> _Slot:
        if not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            _sync(self.root.parent)
        path = self.root / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        temporary = path.with_suffix(".tmp")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _write(fd, content, 0)
            os.fsync(fd)
            os.replace(temporary, path)
            _sync(self.root)
        except BaseException:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            raise
        return _Slot(path, fd)

    def _let_go(self, slot: _Slot) -> None:
        _write(slot.fd, _FREE, 0)
        self._free.append(slot)

    def _stored(self) -> Iterator[_Stored]:
        """All whole results, ours and those of others."""
        for slot in self._held.values():
            if (stored := _whole(slot.read())) is not None:
                yield stored
        yield from self._others()

    def _others(self) -> Iterator[_Stored]:
        """Whole results in slots of other processes."""
        for path in self._foreign():
            if (stored := _whole(_read(path))) is not None:
                yield stored

    def _foreign(self) -> Iterator[Path]:
        ours = {slot.path.name for slot in (*self._free, *self._held.values())}
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return
        for name in sorted(names):
            if name.endswith(_SUFFIX) and name not in ours:
                yield self.root / name

    def _remove(self, run: str, intent: str) -> None:
        """Remove the slots of dead processes that hold this result, or none any more."""
        for path in self._foreign():
            with _orphan(path) as orphan:
                if not orphan:
                    continue
                content = _read(path)
                stored = _whole(content)
                if content.startswith(_FREE) or (stored is not None and (stored.run, stored.intent) == (run, intent)):
                    path.unlink(missing_ok=True)

    def _put_aside(self) -> Iterator[Path]:
        """Rename the slots of dead processes that are not whole."""
        for path in self._foreign():
            with _orphan(path) as orphan:
                if not orphan:
                    continue
                content = _read(path)
                if not content.startswith(_FREE) and _whole(content) is None:
                    aside = path.with_suffix(".torn")
                    os.replace(path, aside)
                    yield aside


def _check(run: str, intent: str) -> None:
    for name in (run, intent):
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{name!r} cannot name a spooled result")


def _read(path: Path) -> bytes:
    """A slot's bytes, of a free one only the mark; none when its process has removed it."""
    try:
        with open(path, "rb") as file:
            mark = file.read(len(_FREE))
            return mark if mark == _FREE else mark + file.read()
    except FileNotFoundError:
        return b""


def _whole(content: bytes) -> _Stored | None:
    """The result in a slot's bytes (which may go on behind it), None when it is free or torn."""
    size = int.from_bytes(content[len(_HELD) : len(_HELD) + 8], "big")
    body = content[_START : _START + size]
    if not content.startswith(_HELD) or content[_START - 32 : _START] != hashlib.sha256(body).digest():
        return None
    return _decode(body)


@contextmanager
def _orphan(path: Path) -> Iterator[bool]:
    """Whether the process that made a slot is gone; it is ours while the context lasts."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield path.exists()  # else its process has removed it on its way out
    finally:
        os.close(fd)


def _write(fd: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
