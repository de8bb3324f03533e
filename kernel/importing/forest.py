"""Which iteration each iteration started from, where the source does not say: by its base code.

An iteration builds on the earlier accepted one whose program is its base code, word for word; the hypothesis that the
source says it started from decides between several; without base code it is a root. The rule that was used is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gome.events import digest_of
from gome.kernel.importing.fields import Loop, statement_of

NAMED = ("parent", "parent_loop", "parent_id")
"""Fields that may name the parent; none is known to exist, and one that does beats guessing."""


@dataclass(frozen=True)
class Place:
    """Where an iteration stands: parent ("" for a root), branch, and the rule that found it."""

    parent: str
    trace: int
    rule: str


@dataclass
class Forest:
    """Iterations in the order of their numbers, as far as they have been placed."""

    _by_code: dict[str, list[str]] = field(default_factory=dict)
    _first_with: dict[str, str] = field(default_factory=dict)
    _statements: dict[str, str] = field(default_factory=dict)
    _traces: dict[str, int] = field(default_factory=dict)
    _grown: set[int] = field(default_factory=set)

    def place(self, loop: Loop) -> Place:
        """The place of the next iteration."""
        parent, rule = self._parent(loop)
        if parent:
            return Place(parent, self._traces[parent], rule)
        # Roots that failed are tries at the same beginning; one behind an accepted one begins another branch.
        trace = max(self._traces.values(), default=0)
        return Place("", trace + 1 if trace in self._grown else trace, rule)

    def _parent(self, loop: Loop) -> tuple[str, str]:
        for name in NAMED:
            value: Any = loop.values.get(name)
            said = f"loop_{value}" if isinstance(value, int) and not isinstance(value, bool) else value
            if isinstance(said, str) and said in self._traces:
                return said, "named"
        before = statement_of(loop.values.get("sota_hypothesis"))
        alike = [name for name, said in self._statements.items() if before and said == before]
        if not loop.base_code:
            # A loop of which the base code is missing altogether may still say whose hypothesis it went on from.
            if "base_code" not in loop.order and alike:
                return alike[-1], "hypothesis" if len(alike) == 1 else "hypothesis, latest"
            return "", "root"
        same = self._by_code.get(digest_of(loop.base_code.encode()), [])
        if len(same) == 1:
            return same[0], "code"
        if same:
            both = [name for name in same if name in alike]
            return (both[-1], "code and hypothesis") if both else (same[-1], "code, latest")
        if alike:
            return alike[-1], "hypothesis" if len(alike) == 1 else "hypothesis, latest"
        return "", "no parent found"

    def base_of(self, code: str) -> str:
        """The first iteration, accepted or not, whose program this is; "" when none is."""
        return self._first_with.get(digest_of(code.encode()), "")

    def add(self, loop: Loop, place: Place, accepted: bool) -> None:
        """Remember a placed iteration."""
        code = digest_of(loop.code.encode()) if loop.code else ""
        self.remember(loop.name, code, place.trace, accepted, statement_of(loop.values.get("final_hypothesis")))

    def remember(self, name: str, code: str, trace: int, accepted: bool, statement: str) -> None:
        """The same from what a log has of it; `code` is the program's digest ("" for none)."""
        self._traces[name] = trace
        if code:
            self._first_with.setdefault(code, name)
        if accepted:
            self._grown.add(trace)
            if code:
                self._by_code.setdefault(code, []).append(name)
            if statement:
                self._statements[name] = statement
