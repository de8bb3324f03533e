"""Prompts from templates: what is quoted is fenced so that it cannot pretend to be ours, and nothing grows too long.

A template (`prompts/NAME.j2`) holds our words and the places of its *sections*; sections hold what others wrote: the
task's author, programs, models, tables. The rule for what is cut:

- A prompt never has more characters than its limit. Each section that is not empty is sure of its share of the room
  that our own words leave; what some sections leave unused goes to the others, in the order in which they are given.
- A long text loses its middle, with a note of how much. A listing loses its oldest entries first, with a note of how
  many; one that must stay whole shortens all of its entries alike.

Callers give failures last and successes before them, so those are the first to go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PROMPTS = Path(__file__).parent / "prompts"
LONGEST_RUN = 16
"""Backticks in a row that are kept; the fence is one longer than the longest run in what it holds."""
LEAST = 40
"""Characters below which a piece of a text says nothing."""
LEFT_OUT = "[left out]"
_RUN = re.compile("`+")
_JUNK = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")


class Section(Protocol):
    """Something quoted. `need` counts the characters that all of it takes (0: there is nothing); `fit`, asked only
    where there is something, returns at most `limit` of them, and says so where they are too few for any of it."""

    @property
    def need(self) -> int: ...

    def fit(self, limit: int) -> str: ...


def clean(text: str) -> str:
    """A text as it may stand in a prompt: one kind of line end, no control characters, no endless runs of backticks,
    nothing that UTF-8 cannot write."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    return _RUN.sub(lambda run: run[0][:LONGEST_RUN], _JUNK.sub(" ", plain)).strip("\n")


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text: its middle gives way to a note of how much is missing."""
    if len(text) <= limit:
        return text
    note = f"\n[… {len(text)} characters, shortened …]\n"
    room = limit - len(note)
    if room < LEAST:
        return text[: max(0, limit)]
    head = room - room * 2 // 5
    return text[:head] + note + text[len(text) - (room - head) :]


def fence(label: str, text: str, kind: str = "text") -> str:
    """A labelled block whose end the text inside cannot write: no run of backticks in it is as long as the fence."""
    ticks = "`" * max(3, 1 + max((len(run) for run in _RUN.findall(text)), default=0))
    return f"{label}:\n{ticks}{kind}\n{text}\n{ticks}"


def _frame(label: str, text: str, kind: str) -> int:
    """Characters that a fence adds to a text (at most, when the text is shortened afterwards)."""
    return len(fence(label, text, kind)) - len(text)


@dataclass(frozen=True)
class Block:
    """A quoted text that loses its middle; `kind` is the language of its fence."""

    label: str
    text: str
    kind: str = "text"

    @property
    def need(self) -> int:
        """Characters that all of it takes."""
        text = clean(self.text)
        return len(fence(self.label, text, self.kind)) if text.strip() else 0

    def fit(self, limit: int) -> str:
        """At most `limit` characters."""
        text = clean(self.text)
        room = limit - _frame(self.label, text, self.kind)
        if room < min(len(text), LEAST):
            return LEFT_OUT[:limit]
        return fence(self.label, cut(text, room), self.kind)


@dataclass(frozen=True)
class Listing:
    """Quoted entries, oldest first. `newest` drops the oldest until the rest fits, `all` shortens each alike."""

    label: str
    entries: Sequence[str]
    keep: Literal["newest", "all"] = "newest"

    def _cleaned(self) -> list[str]:
        return [text for text in (clean(entry) for entry in self.entries) if text.strip()]

    @property
    def need(self) -> int:
        """Characters that all of it takes."""
        found = self._cleaned()
        return len(fence(self.label, "\n\n".join(found))) if found else 0

    def fit(self, limit: int) -> str:
        """At most `limit` characters."""
        found = self._cleaned()
        room = limit - _frame(self.label, "\n\n".join(found), "text")
        if room < min(sum(map(len, found)), LEAST):
            return LEFT_OUT[:limit]
        if self.keep == "all":
            return fence(self.label, "\n\n".join(_evenly(found, room - 2 * (len(found) - 1))))
        return fence(self.label, _latest(found, room))


def _latest(entries: list[str], room: int) -> str:
    """The newest entries, with a note of how many older ones are left out; the newest one shortened if it must be."""
    whole = "\n\n".join(entries)
    if len(whole) <= room:
        return whole
    for left_out in range(1, len(entries)):
        text = "\n\n".join([f"[{left_out} older left out]", *entries[left_out:]])
        if len(text) <= room:
            return text
    note = f"[{len(entries) - 1} older left out]\n\n" if len(entries) > 1 else ""
    return cut(note + cut(entries[-1], max(0, room - len(note))), room)


def _evenly(entries: list[str], room: int) -> list[str]:
    """Entries cut so that they have `room` characters together: short ones stay whole, long ones share the rest."""
    kept: dict[int, str] = {}
    left = max(0, room)
    order = sorted(range(len(entries)), key=lambda i: (len(entries[i]), i))
    for position, index in enumerate(order):
        kept[index] = cut(entries[index], left // (len(order) - position))
        left -= len(kept[index])
    return [kept[index] for index in range(len(entries))]


def allot(needs: Mapping[str, int], weights: Mapping[str, int], room: int) -> dict[str, int]:
    """Share out `room` characters: to each its need or its weighted share, whichever is less, then what is left over
    in the order of `needs`. The sum is never above `room`."""
    total = sum(weights[name] for name, need in needs.items() if need)
    granted = {name: min(need, room * weights[name] // total if need else 0) for name, need in needs.items()}
    left = room - sum(granted.values())
    for name, need in needs.items():
        more = min(need - granted[name], left)
        granted[name] += more
        left -= more
    return granted


@cache
def environment() -> Environment:
    """The templates. A name that a template uses and nobody gave is an error, not an empty place."""
    return Environment(
        loader=FileSystemLoader(PROMPTS),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def render(
    name: str, *, limit: int, sections: Mapping[str, Section], weights: Mapping[str, int], facts: Mapping[str, Any]
) -> str:
    """The prompt `name` in at most `limit` characters. `sections` are given most important first, each with a weight;
    `facts` are our own short words and numbers. ValueError when our words alone are longer than the limit."""
    template = environment().get_template(f"{name}.j2")
    needs = {key: section.need for key, section in sections.items()}
    # A mark in each place that will be filled tells which sections this template has; the rest is ours.
    marks = {key: chr(0xE000 + i) if need else "" for i, (key, need) in enumerate(needs.items())}
    frame = template.render({**facts, **marks})
    used = {key: need for key, need in needs.items() if need and marks[key] in frame}
    room = limit - len(frame)
    if room < 0:
        raise ValueError(f"the prompt {name} has {len(frame)} characters of its own; its limit is {limit}")
    granted = allot(used, weights, room)
    filled = {key: section.fit(granted[key]) if key in used else "" for key, section in sections.items()}
    return template.render({**facts, **filled})
