"""What an import found and what it added, per competition and in all: values, and the same in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Competition:
    """One competition of a file. `run` is "" where nothing of it could be imported; `state` says what was done: `new`,
    `extended` (loops were missing in the log), `known` (nothing to add), `skipped`. `kept` are parts that became no
    attempt, as (name, byte, why)."""

    name: str
    run: str = ""
    state: str = "skipped"
    loops: int = 0
    accepted: int = 0
    failed: int = 0
    added: int = 0
    graded: int = 0
    unseen: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[str, int, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)


@dataclass
class Report:
    """One file. `damage` are sentences, each with a byte, about where the file is not JSON; with any the command ends
    with 1. `seconds` is wall time."""

    file: str
    trace: str
    size: int
    competitions: list[Competition] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the whole file could be read."""
        return not self.damage

    def total(self, name: str) -> int:
        """Sum of a count over all competitions."""
        return sum(getattr(c, name) for c in self.competitions)

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        unseen: Counter[str] = sum((c.unseen for c in self.competitions), Counter())
        rules: Counter[str] = sum((c.rules for c in self.competitions), Counter())
        return {
            "file": self.file,
            "trace": self.trace,
            "bytes": self.size,
            "complete": self.ok,
            "competitions": len(self.competitions),
            "runs": [c.run for c in self.competitions if c.run],
            "new": sum(c.state == "new" for c in self.competitions),
            "extended": sum(c.state == "extended" for c in self.competitions),
            "known": sum(c.state == "known" for c in self.competitions),
            **{name: self.total(name) for name in ("loops", "added", "accepted", "failed", "graded")},
            "parents": dict(rules),
            "unseen": dict(unseen),
            "skipped": [
                {"competition": c.name, "part": part, "byte": offset, "why": why}
                for c in self.competitions
                for part, offset, why in c.kept
            ],
            "problems": [{"competition": c.name, "problem": p} for c in self.competitions for p in c.problems],
            "damage": self.damage,
            "notices": self.notices,
            "seconds": round(self.seconds, 3),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        p = self.plain()
        yield (
            f"{self.trace}: {p['competitions']} competitions ({p['new']} new, {p['extended']} extended, {p['known']} "
            f"known before), {p['loops']} loops ({p['added']} added), {p['accepted']} accepted, {p['failed']} without "
            f"a score, {p['graded']} with a test report (in the vault), {self.seconds:.1f} s"
        )
        if p["parents"]:
            yield "  parents found by: " + ", ".join(f"{rule} {n}" for rule, n in sorted(p["parents"].items()))
        if p["unseen"]:
            shown = sorted(p["unseen"].items(), key=lambda kv: -kv[1])
            more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
            yield "  fields never seen before, kept: " + ", ".join(f"{k} ({n})" for k, n in shown[:12]) + more
        for what in ("skipped", "problems"):
            found = p[what]
            for entry in found[:20]:
                if what == "skipped":
                    yield f"  skipped {entry['competition']} {entry['part']} at byte {entry['byte']:,}: {entry['why']}"
                else:
                    yield f"  {entry['competition']}: {entry['problem']}"
            if len(found) > 20:
                yield f"  … and {len(found) - 20} more {what} (--json has all)"
        for notice in self.notices:
            yield f"  {notice}"
