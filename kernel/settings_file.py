"""Reading TOML so that an error can say where: every key knows its file and line. For `gome.kernel.settings` only.

tomllib tells the line of a syntax error but not of a key. `Origin.line` finds it when it is asked for, by parsing ever
longer beginnings of the file: a key belongs to the line after the last beginning that parsed without it.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gome.kernel.errors import UsageError

Key = tuple[str, ...]
"""A key's parts; `openai.prices."gpt-4.1"` has three."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True)
class Origin:
    """Where a value came from: `source` for people, and for files the text that holds `key`. What a `profile` says is
    for whoever is in the run: the table of a plugin that is not is no error there."""

    source: str
    key: Key = ()
    text: str = field(default="", repr=False)
    profile: bool = False

    @property
    def line(self) -> int:
        """The line of the key in a file (1-based), 0 when there is none."""
        return key_lines(self.text).get(self.key, 0) if self.text else 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


def dotted(key: Key) -> str:
    """Write a key as TOML does."""
    return ".".join(part if _BARE.fullmatch(part) else '"' + part.replace('"', '\\"') + '"' for part in key)


def flat(values: Mapping[str, Any], prefix: Key = ()) -> dict[Key, Any]:
    """Return nested tables as one dict of keys; an empty table is a value."""
    found: dict[Key, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, (*prefix, name))
        else:
            found[(*prefix, name)] = value
    return found


def nested(values: Mapping[Key, Any]) -> dict[str, Any]:
    """The opposite of `flat`."""
    root: dict[str, Any] = {}
    for key, value in values.items():
        table = root
        for part in key[:-1]:
            table = table.setdefault(part, {})
        if isinstance(value, Mapping) and not value:
            table.setdefault(key[-1], {})
        else:
            table[key[-1]] = value
    return root


def overlay(values: dict[Key, Any], key: Key, value: Any) -> list[Key]:
    """Set a key over what earlier sources said, in place; returns the keys that it replaced. Setting a table's key
    replaces a plain value of the table's name, and the other way round."""
    empty = isinstance(value, Mapping) and not value
    within = [old for old in values if old != key and old[: len(key)] == key]
    gone = [key[:n] for n in range(1, len(key)) if key[:n] in values]
    if empty and within:
        return []
    if not empty:
        gone += within
    for old in gone:
        del values[old]
    values[key] = value
    return gone


def parse(text: str, source: str, *, hide: bool = False) -> dict[str, Any]:
    """Parse TOML; raises `UsageError` with source and line. `hide` keeps the reason to itself (secrets files)."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        reason = "this is not TOML" if hide else _PLACE.sub("", str(error)).lower()
        raise UsageError(f"{source}:{line}: {reason}") from None


def read(path: Path, what: str) -> str:
    """Read a text file of settings; raises `UsageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {what} {path}: it is not UTF-8") from None


def read_secrets(path: Path) -> dict[str, str]:
    """Read a secrets file: TOML of texts named like variables, readable by its owner only; raises `UsageError`."""
    text = read(path, "the secrets file")
    if path.stat().st_mode & 0o077:
        raise UsageError(f"the secrets file {path} is open to others; make it yours alone: chmod 600 {path}")
    values = parse(text, str(path), hide=True)
    for key, value in values.items():
        if not isinstance(value, str):
            raise UsageError(f'{Origin(str(path), (key,), text)}: {key} is not a text; write {key} = "…"')
    return values


def origins_of(text: str, source: str, keys: Iterable[Key]) -> dict[Key, Origin]:
    """Return the origin of each key of a file."""
    return {key: Origin(source, key, text) for key in keys}


@functools.lru_cache(maxsize=8)
def key_lines(text: str) -> dict[Key, int]:
    """Return the line (1-based) on which each key of a valid TOML text begins."""
    lines = text.split("\n")
    found: dict[Key, int] = {}
    whole = 0
    for n in range(1, len(lines) + 1):
        try:
            values = tomllib.loads("\n".join(lines[:n]))
        except tomllib.TOMLDecodeError:
            continue  # inside a value of several lines
        for key in flat(values):
            found.setdefault(key, whole + 1)
        whole = n
    return found
