"""A recorded run of another agent, rewritten as a traces file of one competition: what `aide` and `rdagent` make.

The fields of a traces file are what `fields` knows, so forest, events, ids and report are the same for all sources;
what has no such field goes along verbatim. Damage is carried over: the file ends where the source could not be read
further.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gome.kernel.connect import Connection
from gome.kernel.importing.report import Report
from gome.kernel.importing.take import import_file

REST = b"rest"
"""Name of the member that holds what belongs to no iteration; the import keeps it verbatim."""
_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass
class Converted:
    """A run in the form of a traces file. `trace` names the kind of source, `competition` what it is about; `loops` are
    the iterations as JSON objects by their numbers, `rest` texts of the source that belong to none of them. `damage`
    are sentences about where the source breaks off, `faults` about parts that could not be read and are kept as they
    are, `problems` about what could not be used, `notices` what a person should know."""

    trace: str
    competition: str
    scenario: dict[str, Any] = field(default_factory=dict)
    loops: dict[int, bytes] = field(default_factory=dict)
    rest: list[tuple[str, str]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def traces(self) -> bytes:
        """The bytes of the traces file, cut off behind the last iteration where the source is damaged."""
        parts = [b'"scenario":' + plain(self.scenario)]
        parts += [b'"loop_%d":' % number + raw for number, raw in self.loops.items()]
        if self.rest:
            parts.append(b'"%s":' % REST + plain(dict(self.rest)))
        whole = b'{"' + self.competition.encode() + b'":{' + b",".join(parts)
        return whole if self.damage else whole + b"}}"


async def import_converted(connection: Connection, source: Path, found: Converted) -> Report:
    """Import a rewritten run like a traces file, and report on the source instead of its rewriting."""
    with tempfile.TemporaryDirectory(prefix="gome-import-") as folder:
        file = Path(folder) / f"{found.trace}.json"
        file.write_bytes(found.traces())
        report = await import_file(connection, file)
    report.file = str(source)
    # The rewriting ends where the source breaks off; everything else that may be said about its bytes is said here.
    report.damage = [f"damaged {d}; everything before is imported" for d in found.damage] + found.faults
    report.notices = found.notices
    for told in report.competitions:
        told.unseen.clear()
        told.kept = [kept for kept in told.kept if kept[0] != REST.decode()]
        told.problems = found.problems
    return report


def plain(value: Any) -> bytes:
    """A value as JSON; half surrogate pairs, which UTF-8 cannot hold, become question marks."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def named(*names: str) -> str:
    """The first of some names that is one for a competition, with what such names cannot hold left out."""
    for name in names:
        if fit := _NAME.sub("-", name).strip("-")[:80]:
            return fit
    return "unnamed"
