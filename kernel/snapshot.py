"""Snapshots of a run's fold: cache files that spare readers the run's first events. The log stays the truth.

A file holds what `RunState.kept` names, at the end of one record, keyed by run, position, that record's hash, and
digests of all code that folds. Whoever wants the run restores it and reads on from there; where anything differs, is
damaged, or does not lie on the log's chain, the file counts for nothing and the run is read from its start. It is
written by a process that has decided or verified every decision before that position with just this code, so a resume
by the same code need not do it again; `gome verify` never looks at snapshots. Used by `start` (resume), `worker`, and
the commands that show a run; taking them while a run is driven is `Camera`'s affair.

The format is pickle, since a state is whatever a plugin makes of it, with objects that its parts share. A pickle may
call any function, so it is read only if nobody else can have written it (our own file, closed to others, as is the
folder, in the home that also names the code that runs here), if it is whole (a digest over its bytes), and then only
classes of the packages that its digests cover, and a few containers, are found (`_Unpickler`).
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from anyio import to_thread
from msgspec import Struct

from gome.events import Head, RunStarted
from gome.kernel.discovery import kernel_digest, packages_of, pin
from gome.kernel.errors import LogDamaged
from gome.kernel.log import EventLog
from gome.kernel.log_checks import check_name
from gome.kernel.plugin import Plugin
from gome.kernel.state import RunState

EVERY = 500
"""Events between two snapshots of a run that is driven."""
SHARE = 0.02
"""Largest share of a run's time that taking its snapshots may use; a long run takes them further apart for it."""
_SHARED = ("gome.events", "gome.kernel")
_PLAIN = {
    "builtins": {"set", "frozenset", "bytearray", "complex", "range", "slice"},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
}


_Default = tuple[str, str, int]
"""Module and name of a struct, and which of its defaults."""


class _About(Struct, frozen=True):
    """The second line of a file, whose first one is the digest of all that follows. `plugins` maps the run's deciders
    to their digests, `emitting` are those of them whose types events may have; `code` is the digest of what all folds
    share."""

    head: Head
    started: RunStarted | None
    code: str
    plugins: dict[str, str]
    emitting: tuple[str, ...]


class _Covered:
    """The packages that a snapshot's digests cover, those that every reader needs first."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._names = {name: (rank, f"{name}.") for rank, name in enumerate(dict.fromkeys((*_SHARED, *packages)))}

    def rank(self, module: str) -> int | None:
        """The number of the first package that holds the module; None for what is not covered."""
        return next(
            (r for name, (r, prefix) in self._names.items() if module == name or module.startswith(prefix)), None
        )


def _defaults(covered: _Covered) -> dict[int, _Default]:
    """Where the defaults of structs are found, by their identity; those that equal values share are left out."""
    classes: list[type[Struct]] = [Struct]
    for kind in classes:
        classes += kind.__subclasses__()
    ranks = {module: covered.rank(module) for module in {kind.__module__ for kind in classes}}
    known = [(rank, kind) for kind in classes if (rank := ranks[kind.__module__]) is not None]
    found: dict[int, _Default] = {}
    for _, kind in sorted(known, key=lambda k: k[0]):  # a short text may be one object in several packages
        for place, default in enumerate(kind.__struct_defaults__ if "<" not in kind.__qualname__ else ()):
            if isinstance(default, float | int | str | tuple | Struct):
                found.setdefault(id(default), (kind.__module__, kind.__qualname__, place))
    for shared in (None, True, False, "", (), *range(-5, 257)):
        found.pop(id(shared), None)
    return found


class _Pickler(pickle.Pickler):
    """Keeps a default of a struct the same object. msgspec leaves out what *is* the default, so an equal copy would be
    written where the original is not, and a decision that passes it on would not be the recorded bytes."""

    def __init__(self, file: io.BytesIO, covered: _Covered) -> None:
        super().__init__(file, protocol=5)
        self._defaults = _defaults(covered)

    def persistent_id(self, value: Any) -> _Default | None:
        """See `pickle.Pickler.persistent_id`."""
        return self._defaults.get(id(value))


class _Unpickler(pickle.Unpickler):
    """Finds classes of the packages that a snapshot's digests cover, and containers; no function, nothing else."""

    def __init__(self, file: io.BytesIO, covered: _Covered) -> None:
        super().__init__(file)
        self._covered = covered

    def persistent_load(self, default: _Default) -> Any:
        """See `pickle.Unpickler.persistent_load`."""
        module, name, place = default
        return self.find_class(module, name).__struct_defaults__[place]

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler.find_class`."""
        plain = name in _PLAIN.get(module, ())
        if plain or self._covered.rank(module) is not None:
            found = super().find_class(module, name)
            if isinstance(found, type) and (found.__module__, found.__qualname__) == (module, name):
                return found
        raise pickle.UnpicklingError(f"a snapshot holds no {module}.{name}")


class Snapshots:
    """The snapshots of a home, at most one per run: `folder/<run>.snapshot`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = structlog.get_logger("gome.snapshot")

    def take(self, state: RunState) -> bytes:
        """The file's content for a state as it is now. Raises what pickle raises when a plugin's state cannot be
        written."""
        plugins = [c.plugin for c in state.cursors]
        fold, cursors = state.kept()
        body = io.BytesIO()
        # One pickler for both parts: what cursors share with the fold is written once.
        emitting_first = sorted(plugins, key=lambda plugin: not plugin.emits)
        pickler = _Pickler(body, _Covered(p for plugin in emitting_first for p in packages_of(plugin)))
        pickler.dump(fold)
        pickler.dump(cursors)
        about = _About(
            head=state.head,
            started=state.started,
            code=kernel_digest(),
            plugins={p.name: pin(p).digest for p in plugins},
            emitting=tuple(p.name for p in plugins if p.emits),
        )
        return b"".join((msgspec.json.encode(about), b"\n", body.getbuffer()))

    def put(self, run: str, content: bytes) -> None:
        """Keep what was taken of a run, in place of what is there. Not synced: a torn file is noticed by its digest."""
        path = self._path(run)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
                file.write(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def drop(self, run: str) -> None:
        """Forget a run's snapshot; absent is fine."""
        self._path(run).unlink(missing_ok=True)

    def started(self, run: str) -> RunStarted | None:
        """The first event of a run that has a snapshot here, None for others."""
        _, _, content = self._read(self._path(run)).partition(b"\n")
        try:
            return msgspec.json.decode(content.partition(b"\n")[0], type=_About).started
        except msgspec.MsgspecError:
            return None

    def restore(self, state: RunState, plugins: Sequence[Plugin]) -> bool:
        """Fill a state that has folded nothing. `plugins` must hold those of the snapshot whose code matters here: the
        deciders of the state and whoever emits types. False: there is no snapshot that fits this code. Whether it lies
        on the log's chain is for `restored` to find out."""
        stored = self._read(self._path(state.run))
        if not stored:
            return False
        try:
            digest, _, content = stored.partition(b"\n")
            if digest != hashlib.sha256(content).hexdigest().encode():
                raise pickle.UnpicklingError("its bytes are not those that were written")
            line, _, body = content.partition(b"\n")
            about = msgspec.json.decode(line, type=_About)
            if about.head.run != state.run:
                raise pickle.UnpicklingError(f"it is of run {about.head.run}")
            named = {p.name: p for p in plugins}
            deciders = [c.plugin.name for c in state.cursors]
            needed = about.plugins if deciders else about.emitting
            if about.code != kernel_digest() or (deciders and deciders != list(about.plugins)):
                return False
            if any(name not in named or pin(named[name]).digest != about.plugins[name] for name in needed):
                return False
            unpickler = _Unpickler(io.BytesIO(body), _Covered(p for n in needed for p in packages_of(named[n])))
            fold, cursors = unpickler.load(), unpickler.load() if deciders else {}
        except (msgspec.MsgspecError, pickle.UnpicklingError, ImportError, AttributeError, EOFError) as error:
            self._log.warning("a snapshot is damaged; the run is read from its start", run=state.run, why=str(error))
            self.drop(state.run)
            return False
        state.restore(about.head, fold, cursors)
        return True

    def _path(self, run: str) -> Path:
        return self.folder / f"{check_name('run id', run)}.snapshot"

    def _read(self, path: Path) -> bytes:
        """The file's bytes; none unless it is ours alone to write."""
        try:
            with open(path, "rb") as file:
                for status in (os.fstat(file.fileno()), os.stat(self.folder)):
                    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
                        self._log.warning("a snapshot that others may have written is not read", file=str(path))
                        return b""
                return file.read()
        except OSError:
            return b""


async def restored(
    snapshots: Snapshots | None, log: EventLog, plugins: Sequence[Plugin], empty: Callable[[], RunState]
) -> RunState:
    """A run's state, made by `empty` and filled from its snapshot if that fits and lies on the log's chain; else as it
    was made. Either way it is to be read on from its head."""
    state = empty()
    if snapshots is not None and await to_thread.run_sync(snapshots.restore, state, plugins):
        if await _on_chain(log, state.head):
            return state
        snapshots.drop(state.run)
        return empty()
    return state


async def _on_chain(log: EventLog, head: Head) -> bool:
    """Whether the log has a record with this hash at this place: the next one names it, or it is the last."""
    try:
        async for _ in log.read(head.run, head):
            return True
        return (await log.head(head.run)).hash == head.hash
    except LogDamaged:
        # Perhaps the log is damaged, perhaps the snapshot is of another one: reading from the start will tell.
        return False


class Camera:
    """Takes snapshots of one run while it is driven: at rest, at least `every` events apart, within `SHARE` of the
    time."""

    def __init__(self, snapshots: Snapshots, state: RunState, every: int = EVERY) -> None:
        self.snapshots = snapshots
        self.state = state
        self.every = every
        self._at = state.events
        self._next = 0.0
        self._able = True
        self._log = structlog.get_logger("gome.snapshot").bind(run=state.run)

    def due(self, *, at_the_end: bool = False) -> bool:
        """Whether a snapshot should be taken now; at the end also one of fewer events, if the run has so many."""
        if not self._able or self.state.events == self._at:
            return False
        if at_the_end:
            return self.state.events >= self.every
        return self.state.events - self._at >= self.every and time.monotonic() >= self._next

    async def take(self) -> None:
        """Take one and write it. Folding waits for the first part, the second happens in a thread."""
        began = time.monotonic()
        self._at = self.state.events
        self._next = float("inf")
        try:
            content = self.snapshots.take(self.state)
            cost = time.monotonic() - began
            await to_thread.run_sync(self.snapshots.put, self.state.run, content)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError, OSError) as error:
            self._able = False
            self._log.warning("no snapshots of this run: a state cannot be written", error=str(error))
        else:
            self._next = began + cost / SHARE
