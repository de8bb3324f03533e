"""Results on disk before they are in the log: what was done (and paid for) survives a crash before its append.

One file per (run, intent) holds the encoded draft of the result. The order of work: perform, `put`, append, `drop`.
After a crash whoever drives the run appends what `pending` lists first; the result's id is computed from the intent,
so that one that had been appended after all counts once. Appending is the business of `gome.kernel.effects`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from gome.kernel.errors import GomeError

_MAGIC = b"gome-spool-1\n"
_SUFFIX = ".result"


class _Stored(Struct, array_like=True):
    order: int
    intent: str
    data: bytes


class Pending(Struct, frozen=True):
    """Results that wait to be appended, oldest first, and files that are not whole (somebody should look at them)."""

    results: tuple[tuple[str, bytes], ...] = ()
    torn: tuple[Path, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


class Spool:
    """A folder of spooled results, `root/<run>/<intent>.result`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: dict[str, int] = {}

    def put(self, run: str, intent: str, data: bytes) -> None:
        """Keep the bytes of an intent's result; durable when it returns. A second one replaces the first."""
        path = self._place(run, intent)
        try:
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _sync(path.parent.parent)
                _sync(self.root.parent)
            if run not in self._last:
                self._last[run] = max((s.order for s in self._read(run)[0]), default=0)
            self._last[run] += 1
            body = _encode(_Stored(self._last[run], intent, data))
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            try:
                with open(temporary, "wb") as file:
                    file.write(_MAGIC + hashlib.sha256(body).digest() + body)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            _sync(path.parent)
        except OSError as error:
            raise GomeError(f"cannot spool the result of intent {intent} to {path}: {error.strerror}") from error

    def get(self, run: str, intent: str) -> bytes | None:
        """Return the spooled bytes of one intent's result, None when there are none or they are not whole."""
        stored = _whole(self._place(run, intent))
        return stored.data if stored else None

    def drop(self, run: str, intent: str) -> None:
        """Forget a result that is in the log; absent is fine. Not synced: appending a result twice is harmless."""
        self._place(run, intent).unlink(missing_ok=True)

    def pending(self, run: str) -> Pending:
        """Return a run's spooled results in the order in which they were put, and the files that are torn."""
        stored, torn = self._read(run)
        return Pending(tuple((s.intent, s.data) for s in stored), torn)

    def runs(self) -> list[str]:
        """Return the runs that have files here, sorted."""
        try:
            return sorted(path.name for path in self.root.iterdir() if any(path.glob(f"*{_SUFFIX}")))
        except OSError:
            return []

    def _place(self, run: str, intent: str) -> Path:
        for name in (run, intent):
            if not name or "/" in name or name.startswith("."):
                raise ValueError(f"{name!r} cannot name a spooled result")
        return self.root / run / (intent + _SUFFIX)

    def _read(self, run: str) -> tuple[list[_Stored], tuple[Path, ...]]:
        stored, torn = [], []
        for path in sorted(self._place(run, "x").parent.glob(f"*{_SUFFIX}")):
            found = _whole(path)
            if found is not None:
                stored.append(found)
            elif path.exists():  # else appended and dropped by another process meanwhile
                torn.append(path)
        return sorted(stored, key=lambda s: (s.order, s.intent)), tuple(torn)


def _whole(path: Path) -> _Stored | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    start = len(_MAGIC) + 32
    if content[:start] != _MAGIC + hashlib.sha256(content[start:]).digest():
        return None
    return _decode(content[start:])


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
