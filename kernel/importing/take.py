"""Taking a traces file into the log: per competition one run, its hidden grades into the vault, and nothing twice.

Reading and parsing run in threads while other competitions are being appended. A run's id comes from the trace's
name, the competition's and its bytes up to the end of the first loop, so a truncated copy and the whole file mean the
same run, which a second import completes. All events of a loop are in one record.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread

from gome.events import (
    CODEC,
    INLINE_LIMIT,
    ROOT,
    Draft,
    Head,
    ImportCompleted,
    PartKept,
    Payload,
    RunFinished,
    RunResumed,
    RunStarted,
    RunSuspended,
    Saying,
    ScenarioImported,
    Text,
    digest_of,
    event_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, Vaults
from gome.kernel.importing.fields import (
    HIDDEN,
    LOOP,
    SCENARIO,
    Loop,
    Unreadable,
    parse,
    read_loop,
    unseen,
)
from gome.kernel.importing.known import Known, known
from gome.kernel.importing.outline import Outline, Source
from gome.kernel.importing.report import Competition, Report
from gome.kernel.importing.scan import Damage
from gome.kernel.importing.story import graded, started, tell
from gome.kernel.log import EventLog

IMPORT = "import"
BATCH = 400_000
"""Bytes of payload that are appended as one record, unless one loop has more."""
SIDE_BY_SIDE = 3
"""Competitions that are imported at once: while one waits for the disk, another is parsed."""
PUTS = 8
"""Artifacts that are made durable at once: the disk takes several flushes in the time of one."""
Progress = Callable[[str, int, int], None]
"""Told the competition, bytes done and bytes in all."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass
class _Part:
    """What is to be appended for one competition."""

    said: list[tuple[str, list[Saying]]] = field(default_factory=list)
    grades: list[tuple[str, list[Saying]]] = field(default_factory=list)


async def import_file(connection: Connection, path: Path, *, progress: Progress | None = None) -> Report:
    """Import every competition of a traces file. Damage is in the report, not raised; `UsageError` when the file
    cannot be read at all. Importing again adds nothing, or what was missing."""
    trace = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-") or "trace"
    began = time.monotonic()
    with Source(path) as source:
        report = Report(str(path), trace, source.size)

        def skip(outline: Outline) -> Known | None:
            """Runs in the reading thread. Bytes that the log has without a problem need not be looked at again."""
            if not _NAME.fullmatch(outline.name):
                return None
            run = _id(outline, trace, _origin(outline, trace))
            old: Known = anyio.from_thread.run(known, connection.log, run)
            if not old.finished or old.done is None or old.done.problems:
                return None
            read = source.bytes(outline.begin, outline.begin + old.done.size)
            return old if digest_of(read) == old.done.digest else None

        outlines = source.competitions(skip)
        slots = anyio.Semaphore(SIDE_BY_SIDE)
        active: set[int] = set()
        names: set[str] = set()

        async def one(outline: Outline, told: Competition) -> None:
            await _Importer(connection, source, trace, outline, report, told).take()
            active.remove(outline.begin)
            slots.release()
            source.release(min(active, default=outline.begin))
            if progress:
                progress(outline.name, outline.end, source.size)

        async with anyio.create_task_group() as group:
            while (outline := await anyio.to_thread.run_sync(next, outlines, None)) is not None:
                await slots.acquire()
                if outline.name in names:
                    report.notices.append(f"the competition {outline.name} is there more than once")
                    # Both may be the same run, so one comes after the other.
                    for _ in range(SIDE_BY_SIDE - 1):
                        await slots.acquire()
                    for _ in range(SIDE_BY_SIDE - 1):
                        slots.release()
                names.add(outline.name)
                active.add(outline.begin)
                told = Competition(outline.name[:120])
                report.competitions.append(told)
                group.start_soon(one, outline, told)
        if source.damage is not None:
            report.damage.append(f"damaged {source.damage}; everything before is imported")
    report.seconds = time.monotonic() - began
    return report


class _Importer:
    """Imports one competition."""

    def __init__(
        self, connection: Connection, source: Source, trace: str, outline: Outline, report: Report, told: Competition
    ) -> None:
        self.connection = connection
        self.source = source
        self.trace = trace
        self.outline = outline
        self.report = report
        self.told = told
        self.kept: list[PartKept] = []
        self.loops: dict[str, Loop] = {}
        self.scenario: tuple[bytes, Any] | None = None
        self.unreadable = 0

    async def take(self) -> None:
        """Import it, and say what was done."""
        outline, told = self.outline, self.told
        if not outline.origin or not _NAME.fullmatch(outline.name):
            self._refuse()
            return
        if outline.known is not None:
            self._tell_known(outline.known)
            return
        await anyio.to_thread.run_sync(self._read)
        run, old = await self._find()
        told.run = run
        missing = [loop for name, loop in self.loops.items() if name not in old.digests]
        told.loops, told.accepted = len(self.loops), old.accepted
        told.rules.update(old.rules)
        told.failed = sum(name not in old.scores for name in old.digests)
        closes = outline.damage is None and not self.unreadable and not old.finished
        told.state = "known" if old.head.seq and not missing and not closes else "extended" if old.head.seq else "new"
        if told.state != "known":
            part = await anyio.to_thread.run_sync(self._tell, run, old, missing, closes)
            await self._append(self.connection.vault, run, part.grades, None)
            await self._append(self.connection.log, run, part.said, old.head)
            told.added = len(missing)

    def _tell_known(self, old: Known) -> None:
        """What the log says of the first import; nothing is parsed."""
        assert old.done is not None
        told = self.told
        told.run, told.state = old.head.run, "known"
        told.loops, told.accepted, told.failed = old.done.loops, old.done.accepted, old.done.failed
        told.unseen.update(old.done.unseen)
        told.rules.update(old.done.rules)

    def _refuse(self) -> None:
        outline = self.outline
        why = outline.why or (
            "it has no whole loop" if not outline.origin else "its name is not made of letters, digits, _ and -"
        )
        self.told.kept.append(("", outline.begin, why))

    def _read(self) -> None:
        """Parse what is whole."""
        order: list[Loop] = []
        seen: set[str] = set()
        for key, begin, end in self.outline.members:
            raw = self.source.bytes(begin, end)
            if key in seen:
                self._keep(key, begin, raw, "the same key was there before; the first one counts")
                continue
            seen.add(key)
            if key == SCENARIO:
                self._take_scenario(begin, raw)
            elif LOOP.fullmatch(key) is None:
                self._keep(key, begin, raw, "it is no loop")
                self.told.unseen[f"competition.{key[:60]}"] += 1
            elif raw[:1] != b"{":
                self._keep(key, begin, raw, "it is no object")
            else:
                try:
                    loop = read_loop(key, raw)
                except (Damage, Unreadable) as error:
                    self.report.damage.append(f"{self.outline.name} {key}, byte {begin:,}: {error}; it is skipped")
                    self._keep(key, begin, raw, f"it cannot be read: {error}", damaged=True)
                    continue
                self.told.unseen.update(loop.unseen)
                for problem in loop.problems:
                    self.told.problems.append(f"{key}, byte {begin:,}: {problem}")
                    if "cannot be read" in problem:
                        self.report.damage.append(
                            f"{self.outline.name} {key}, byte {begin:,}: {problem}; kept as it is"
                        )
                order.append(loop)
        order.sort(key=lambda loop: loop.number)
        self.loops = {loop.name: loop for loop in order}

    def _take_scenario(self, begin: int, raw: bytes) -> None:
        try:
            raw.decode()
            value = parse(raw)
        except (Unreadable, UnicodeDecodeError) as error:
            self.report.damage.append(f"{self.outline.name} scenario, byte {begin:,}: {error}; it is skipped")
            self._keep(SCENARIO, begin, raw, f"it cannot be read: {error}", damaged=True)
            return
        self.scenario = (raw, value)
        if isinstance(value, dict):
            self.told.unseen.update(unseen(SCENARIO, value))
            absent = [name for name in ("metric_name", "metric_direction") if name not in value]
            if absent:
                self.told.problems.append(f"the scenario has no {' and no '.join(absent)}: unknown, lower is better")
        else:
            self.told.problems.append("the scenario is no object")

    def _keep(self, key: str, begin: int, raw: bytes, why: str, *, damaged: bool = False) -> None:
        name = key[:120]
        self.unreadable += damaged
        self.told.kept.append((name, begin, why))
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = None
        if text is None or any(f'"{hidden}"' in text for hidden in HIDDEN):
            self.kept.append(PartKept(name, why, begin, digest=self.connection.answers.put(raw), damaged=damaged))
        else:
            self.kept.append(PartKept(name, why, begin, Text.of(text), damaged=damaged))

    async def _find(self) -> tuple[str, Known]:
        """The run that this competition is, or becomes: another recording that only begins alike has another id."""
        names = [key for key, _, _ in self.outline.members if key in self.loops]
        digest = _origin(self.outline, self.trace)
        while True:
            run = _id(self.outline, self.trace, digest)
            old = await known(self.connection.log, run)
            apart = [n for n in names if old.digests.get(n, self.loops[n].digest) != self.loops[n].digest]
            more = [n for n in names if n not in old.digests] if old.finished else []
            if not apart and not more:
                return run, old
            digest.update(f"{(apart or more)[0]}\0{self.loops[(apart or more)[0]].digest}".encode())

    def _tell(self, run: str, old: Known, missing: Sequence[Loop], closes: bool) -> _Part:
        """Everything that is to be said, with long texts in the artifact store already."""
        part, told = _Part(), self.told
        self._store(missing)
        if old.started is None:
            self.connection.artifacts.put(b"")
            first = started(self.outline.name, self.trace, self.scenario[1] if self.scenario else None)
            part.said.append(_sayings(run, "start", [first]))
        else:
            first = old.started
            part.said.append(_sayings(run, f"more:{old.head.seq}", [RunResumed("a more complete copy was imported")]))
        if self.scenario and not old.scenario:
            part.said.append(_sayings(run, "scenario", [ScenarioImported(Text.of(self.scenario[0].decode()))]))
        scores = dict(old.scores)
        for loop in missing:
            place = old.forest.place(loop)
            base = old.forest.base_of(loop.base_code) if loop.base_code else ""
            found = tell(loop, place, base, first.task.metric, scores.get(place.parent))
            old.forest.add(loop, place, found.accepted)
            if found.score is not None:
                scores[loop.name] = found.score
            told.accepted += found.accepted
            told.failed += found.failed
            told.rules[place.rule] += 1
            part.said.append(_sayings(run, f"{loop.name}\0{loop.digest}", found.payloads))
            if hidden := graded(loop):
                told.graded += 1
                part.grades.append(_sayings(run, f"grade:{loop.name}\0{loop.digest}", hidden))
        for kept in self.kept:
            if (kept.name, kept.offset) not in old.kept:
                part.said.append(_sayings(run, f"kept:{kept.name}\0{kept.offset}", [kept]))
        part.said.append(_sayings(run, f"end:{old.head.seq}:{len(missing)}", self._ending(first, closes)))
        return part

    def _ending(self, first: RunStarted, closes: bool) -> list[Payload]:
        told, outline = self.told, self.outline
        begin, end = outline.begin, outline.end
        done = ImportCompleted(
            self.trace,
            digest_of(self.source.bytes(begin, end)),
            closes,
            len(self.loops),
            told.accepted,
            told.failed,
            dict(told.unseen.most_common(200)),
            dict(told.rules),
            len(told.problems) + len(told.kept),
            end - begin,
        )
        if not closes:
            what = f"damaged {outline.damage}" if outline.damage else "damaged inside a part of it"
            return [done, RunSuspended(f"the source is {what}; a whole copy adds the rest")]
        if told.accepted:
            return [done, RunFinished("done", "imported as recorded")]
        return [done, RunFinished("failed", "imported as recorded; no attempt was accepted")]

    def _store(self, loops: Sequence[Loop]) -> None:
        """Make long texts durable side by side; the appender finds them there."""
        texts = {t: None for loop in loops for t in (loop.code, loop.base_code) if len(t) > INLINE_LIMIT // 4}
        long = [data for text in texts if len(data := text.encode()) > INLINE_LIMIT]
        with ThreadPoolExecutor(PUTS) as pool:
            for _ in pool.map(self.connection.artifacts.put, long):
                pass

    async def _append(self, log: EventLog, run: str, parts: list[tuple[str, list[Saying]]], head: Head | None) -> None:
        """Append in records of about `BATCH` bytes. In the vault (no head) what a crash left there counts."""
        vaults = Vaults(self.connection)
        scribe = Scribe(run, CODEC, self.connection.artifacts, IMPORT, self.connection.tenant)
        for answers, sayings in _batches(parts):
            draft: Draft = await anyio.to_thread.run_sync(
                lambda answers=answers, sayings=sayings: scribe.draft(  # type: ignore[misc]
                    "import", IMPORT, answers, sayings, resumes=True
                )
            )
            if head is None:
                at, ids = await vaults.known(run)
                if draft.id not in ids:
                    await log.append(draft, at)
            else:
                head = (await log.append(draft, head)).head


def _origin(outline: Outline, trace: str) -> Any:
    digest = hashlib.sha256(outline.origin.encode())
    digest.update(f"{trace}\0{outline.name}".encode())
    return digest


def _id(outline: Outline, trace: str, digest: Any) -> str:
    return f"{outline.name[:70]}-{trace[:36]}-{digest.hexdigest()[:8]}"


def _batches(parts: list[tuple[str, list[Saying]]]) -> Iterator[tuple[str, list[Saying]]]:
    held: list[Saying] = []
    first, size = "", 0
    for answers, sayings in parts:
        more = sum(len(s.payload) if len(s.payload) <= INLINE_LIMIT else 2_000 for s in sayings)
        if held and size + more > BATCH:
            yield first, held
            held, size = [], 0
        if not held:
            first = answers
        held += sayings
        size += more
    if held:
        yield first, held


def _sayings(run: str, what: str, payloads: Sequence[Payload]) -> tuple[str, list[Saying]]:
    """Events of one part of a run. Their ids come from what they are about, so that a second import has the same."""
    root = hashlib.sha256(what.encode()).hexdigest()[:32]
    chain = event_id(root, IMPORT, 0)
    said = []
    for ordinal, payload in enumerate(payloads):
        cause = ROOT if ordinal == 0 else chain
        said.append(CODEC.saying(event_id(root, IMPORT, ordinal), payload, cause=cause, corr=chain))
    return root, said
