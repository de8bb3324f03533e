"""What columns say by name, kind and range: which numbers share a unit, which are years, codes, places or words.

The task's author may have annotated columns; the scorer's profile adds ranges, levels and association with the
target. Everything here works with names alone when the profile is silent, and on names of any style (snake, camel).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gome.events import Task

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
UNITS: dict[str, frozenset[str]] = {
    "area": frozenset({"sf", "sqft", "area", "porch", "deck", "surface", "acre", "acres"}),
    "bath": frozenset({"bath", "baths", "bathroom", "bathrooms"}),
    "room": frozenset({"room", "rooms", "rms", "bedroom", "bedrooms", "kitchen", "kitchens"}),
    "money": frozenset(
        {
            *("price", "income", "salary", "amount", "debt", "assets", "asset", "expense", "expenses", "cost", "costs"),
            *("balance", "loan", "value", "val", "wage", "payment", "rent", "revenue", "budget", "fee", "tax"),
        }
    ),
    "length": frozenset({"length", "width", "height", "depth", "diameter", "perimeter", "x", "y", "z", "radius"}),
    "duration": frozenset({"years", "months", "days", "hours", "tenure", "age", "seniority", "time", "duration"}),
}
"""Words in a name that tell the unit of a number."""
_YEAR = frozenset({"year", "yr", "yrs", "built", "remod", "since", "established", "opened"})
_PLACES = (("longitude", "latitude"), ("lon", "lat"), ("lng", "lat"), ("long", "lat"), ("easting", "northing"))


@dataclass(frozen=True)
class ColumnFacts:
    """A feature column: kind, share missing, number of levels of a category (None: unknown), skew, its levels worst
    first if they are grades, rank correlation with the target, share in telling test rows from training rows, whether
    its numbers are few whole ones (`few`) or calendar years."""

    name: str
    kind: str
    missing: float = 0.0
    unique: int | None = None
    skew: float = 0.0
    levels: tuple[str, ...] = ()
    association: float | None = None
    drift: float | None = None
    few: bool = False
    year: bool = False
    note: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The lower-case words of the name."""
        return words(self.name)

    @property
    def unit(self) -> str:
        """What the number counts, by the words of its name; empty if unknown."""
        found = {w for w in self.words if len(w) > 1 or len(self.words) == 1}
        for unit, known in UNITS.items():
            if found & known:
                return unit
        return ""

    @property
    def code(self) -> bool:
        """Whether few whole numbers stand for kinds of things rather than amounts."""
        named = {"code", "class", "type", "id", "zip", "month", "mo", "weekday", "zone", "fin"}
        return self.kind == "numeric" and self.few and bool(set(self.words) & named)


def words(name: str) -> tuple[str, ...]:
    """Split a name of any style into lower-case words."""
    return tuple(p.lower() for p in _PART.findall(name))


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _table(holder: Any, name: str) -> dict[str, Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(found, list):  # [[name, number], …]
        return {str(p[0]): p[1] for p in found if isinstance(p, (list, tuple)) and len(p) == 2}
    return found if isinstance(found, dict) else {}


def _list(holder: Any, name: str) -> frozenset[str]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return frozenset(str(v) for v in found) if isinstance(found, list) else frozenset()


def read_columns(task: Task, profile: dict[str, Any]) -> tuple[ColumnFacts, ...]:
    """Join the task's columns with what the profile says about them."""
    numeric = profile.get("numeric")
    missing, cardinality = _table(profile.get("missing"), "columns"), _table(profile, "cardinality")
    ordinal, drifting = _table(profile, "ordinal"), _table(profile.get("adversarial"), "columns")
    skew, correlation = _table(numeric, "skew"), _table(numeric, "correlation")
    codes, years, constant = _list(numeric, "codes"), _list(profile, "years"), _list(profile, "constant")
    return tuple(
        ColumnFacts(
            name=c.name,
            kind=c.kind,
            missing=_float(missing.get(c.name)) or 0.0,
            unique=1
            if c.name in constant
            else (int(u) if (u := _float(cardinality.get(c.name))) is not None else None),
            skew=_float(skew.get(c.name)) or 0.0,
            levels=tuple(str(v) for v in ordinal[c.name]) if isinstance(ordinal.get(c.name), list) else (),
            association=_float(correlation.get(c.name)),
            drift=_float(drifting.get(c.name)),
            few=c.name in codes,
            year=c.kind == "numeric" and (c.name in years if years else bool(set(words(c.name)) & _YEAR)),
            note=c.note,
        )
        for c in task.columns
    )


def ranked(columns: Sequence[ColumnFacts], importance: Sequence[tuple[str, float]] = ()) -> list[ColumnFacts]:
    """Columns by their importance in the last model, then by association with the target, then as they stand."""
    shares = dict(importance)
    order = {c.name: i for i, c in enumerate(columns)}
    return sorted(columns, key=lambda c: (-shares.get(c.name, 0.0), -abs(c.association or 0.0), order[c.name]))


def place(columns: Sequence[ColumnFacts], profile: dict[str, Any]) -> tuple[str, str] | None:
    """Return the names of a longitude and a latitude column, if there are such."""
    pairs = profile.get("coordinates")
    if isinstance(pairs, list) and pairs and len(pairs[0]) == 2:
        return str(pairs[0][1]), str(pairs[0][0])
    names = {c.name.lower(): c.name for c in columns if c.kind == "numeric"}
    for east, north in _PLACES:
        if east in names and north in names:
            return names[east], names[north]
    return None


def shared_words(columns: Sequence[ColumnFacts]) -> dict[str, list[str]]:
    """Return numeric columns that share a word of their name (a unit, a part): word → names, at least two."""
    groups: dict[str, list[str]] = {}
    for column in columns:
        if column.kind == "numeric" and not column.year:
            for word in set(column.words):
                if len(word) > 1 and not word.isdigit():
                    groups.setdefault(word, []).append(column.name)
    return {w: names for w, names in sorted(groups.items()) if len(names) >= 2}
