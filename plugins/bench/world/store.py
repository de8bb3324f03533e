"""The store of a recorded world: answers by key, in a folder that grows or in one file that travels.

The folder holds one file per answer, written once by an atomic link: of two processes that perform the same thing the
first one's answer counts for both. The file (`.world`: xz over JSON lines) holds answers and the tasks they are about,
but not the files that programs left: what was scored has its score, so nothing has to be opened to play runs again.
A file is read-only; with a folder beside it, what it lacks is added there.
"""

from __future__ import annotations

import contextlib
import lzma
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gome.events import Task
from gome.kernel.errors import UsageError

FORMAT = 1


class Answer(Struct, frozen=True, omit_defaults=True):
    """The recorded answer to a question: the payload of its result event (`type`, its `version`, its stored JSON),
    `seconds` of CPU for an execution (0 for others), and the hidden grade that came with a score (`hidden`, its
    standard error `hidden_se`; None without one), which no decider is ever shown."""

    key: str
    type: str
    version: int
    payload: msgspec.Raw
    seconds: float = 0.0
    hidden: float | None = None
    hidden_se: float | None = None


class Subject(Struct, frozen=True, omit_defaults=True):
    """A prepared task under the name and split seed by which suites ask for it."""

    name: str
    split_seed: int
    task: Task


class Header(Struct, frozen=True, omit_defaults=True):
    """The first line of a file: its format, and the versions of Python and libraries that answers were made with."""

    format: int
    environment: dict[str, str]
    subjects: tuple[Subject, ...] = ()


class Store:
    """Answers by key. `used` are the keys that have been asked for and found, for whoever writes a file of them."""

    def __init__(self, folder: Path | None, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.used: set[str] = set()
        self.subjects: dict[tuple[str, int], Task] = {}
        self._held: dict[str, Answer] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._check(folder / "environment.json")

    def _check(self, place: Path) -> None:
        """Answers of other libraries must not be mixed: the same program may do otherwise there."""
        with contextlib.suppress(FileExistsError), place.open("xb") as file:
            file.write(msgspec.json.encode(self.environment))
        try:
            found = msgspec.json.decode(place.read_bytes(), type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise UsageError(f"{place} is damaged ({error}); remove it to begin a world of its own") from error
        if found != self.environment:
            other = sorted(k for k in found.keys() | self.environment.keys() if found.get(k) != self.environment.get(k))
            raise UsageError(
                f"the world in {place.parent} was recorded with another {', '.join(other)}; name another folder, or "
                "play it from its file, which executes nothing"
            )

    def find(self, key: str) -> Answer | None:
        """The answer under a key; None where there is none yet."""
        if (held := self._held.get(key)) is None and self.folder is not None:
            with contextlib.suppress(FileNotFoundError):
                held = msgspec.json.decode((self.folder / key).read_bytes(), type=Answer)
                self._held[key] = held
        if held is not None:
            self.used.add(key)
        return held

    def keep(self, answer: Answer) -> Answer:
        """Keep an answer, unless another process has kept one meanwhile: that one is returned then."""
        if self.folder is None:
            raise UsageError("this world is a file without a folder: it answers what was recorded and learns nothing")
        part = self.folder / f".{answer.key}.{os.getpid()}"
        part.write_bytes(msgspec.json.encode(answer))
        try:
            os.link(part, self.folder / answer.key)
        except FileExistsError:
            pass  # theirs counts
        finally:
            part.unlink()
        found = self.find(answer.key)
        assert found is not None, "it has just been kept, by us or by another process"
        return found

    def subject(self, name: str, split_seed: int) -> Task | None:
        """A task that has been introduced; None when it has not."""
        known = self.subjects.get((name, split_seed))
        if known is None and self.folder is not None:
            with contextlib.suppress(FileNotFoundError):
                known = msgspec.json.decode(self._subject(name, split_seed).read_bytes(), type=Task)
                self.subjects[name, split_seed] = known
        return known

    def introduce(self, name: str, split_seed: int, task: Task) -> None:
        """Remember a prepared task."""
        self.subjects[name, split_seed] = task
        place = self._subject(name, split_seed)
        part = place.with_suffix(f".{os.getpid()}")
        part.write_bytes(msgspec.json.encode(task))
        os.replace(part, place)

    def _subject(self, name: str, split_seed: int) -> Path:
        assert self.folder is not None, "tasks are prepared only where there is a folder"
        return self.folder / f"task-{name.replace('/', '_')}-{split_seed}.json"

    def load(self, path: Path) -> None:
        """Add what a file holds. Raises `UsageError` for what is no such file."""
        try:
            lines = lzma.decompress(path.read_bytes()).splitlines()
            header = msgspec.json.decode(lines[0], type=Header)
            answers = [msgspec.json.decode(line, type=Answer) for line in lines[1:]]
        except OSError as error:
            raise UsageError(f"cannot read the world {path}: {error.strerror or error}") from error
        except (EOFError, lzma.LZMAError) as error:
            told = "it is cut short" if path.stat().st_size and "ended before" in str(error) else "it is not xz"
            raise UsageError(f"{path} is no file of a recorded world, or damaged: {told}") from error
        except (IndexError, msgspec.MsgspecError) as error:
            raise UsageError(f"{path} is no file of a recorded world, or damaged: {error}") from error
        if header.format != FORMAT:
            raise UsageError(f"{path} has format {header.format}; this gome reads {FORMAT}")
        if self.folder is not None and header.environment != self.environment:
            raise UsageError(
                f"{path} was recorded with other libraries than are installed here ({_changed(header, self)}): play it "
                "alone, without a folder to add to"
            )
        self.subjects.update({(s.name, s.split_seed): s.task for s in header.subjects})
        for answer in answers:
            self._held.setdefault(answer.key, answer)
        if self.folder is None:
            self.environment = header.environment

    def write(self, path: Path, keys: Iterable[str], subjects: Iterable[tuple[str, int]]) -> int:
        """Write a file with the answers of these keys, in their order, and with these subjects (name, split seed);
        returns its size in bytes. Equal worlds give equal bytes."""
        wanted = sorted(keys)
        about = tuple(Subject(n, seed, task) for n, seed in sorted(subjects) if (task := self.subject(n, seed)))
        lines: Sequence[bytes] = [
            msgspec.json.encode(Header(FORMAT, self.environment, about)),
            *(msgspec.json.encode(answer) for key in wanted if (answer := self.find(key)) is not None),
        ]
        data = lzma.compress(b"\n".join(lines) + b"\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return len(data)


def _changed(header: Header, store: Store) -> str:
    names = header.environment.keys() | store.environment.keys()
    return ", ".join(sorted(n for n in names if header.environment.get(n) != store.environment.get(n)))
