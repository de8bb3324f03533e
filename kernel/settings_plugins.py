"""Checking values of settings whose meaning somebody else knows: a plugin's table against its struct, durations.

Used by `gome.kernel.settings` and by whoever starts a run; where values come from is not decided here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from gome.kernel.errors import UsageError
from gome.kernel.settings_file import Origin, dotted

S = TypeVar("S", bound=msgspec.Struct)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def seconds(text: str | float) -> float:
    """Return a duration in seconds: `90s`, `3m`, `1h30m`, `1.5h`, `2d`, or a bare number; raises `UsageError`."""
    plain = str(text).replace(" ", "")
    if _DURATION.fullmatch(plain):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(plain))
    try:
        value = float(plain)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or isinstance(text, bool):
        raise UsageError(f"{text!r} is not a duration: write seconds, or units such as 90s, 3m, 1h30m, 2d")
    return value


def plugin_settings(
    name: str,
    struct: type[S],
    table: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> S:
    """Check a plugin's table, with `overrides` on top, against its settings struct and return the struct.

    Keys must be known and types are strict, except that a float may be written as a duration with a unit ("90s").
    `origins` (those of the `Settings`) lets errors name file and line. Raises `UsageError` naming source and key.
    """
    origins = origins or {}
    table = merged(table, overrides or {})
    _adapt(name, struct, table, origins)
    try:
        return msgspec.convert(table, struct, strict=True)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        key = name + path.rstrip("`")
        said = f"{said[:1].lower()}{said[1:]}{_choices(struct, path)}"
        raise UsageError(f"{at(_origin(origins, key))}{key}: {said}") from None


def _choices(struct: type, path: str) -> str:
    """What a field of a struct may be, where it is one of a few values; `path` as in msgspec's errors (`.field`)."""
    kind = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}.get(path.strip(".`"))
    return f" (one of {', '.join(map(str, get_args(kind)))})" if get_origin(kind) is Literal else ""


def _adapt(name: str, struct: type, table: dict[str, Any], origins: Mapping[str, Origin]) -> None:
    """Refuse unknown keys and turn durations into seconds, in place, in nested structs too."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in table.items():
        full = f"{name}.{dotted((key,))}"
        if key not in fields:
            known = [f"{name}.{field}" for field in fields]
            raise unknown(full, known, _origin(origins, full))
        kind = fields[key]
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            table[key] = dict(value)
            _adapt(full, kind, table[key], origins)
        elif isinstance(value, str) and _takes_float(kind) and _DURATION.fullmatch(value):
            table[key] = seconds(value)


def _takes_float(kind: Any) -> bool:
    """Say whether a field is a float and no text: `float`, `float | None`, or an annotated one."""
    kinds = {kind, *getattr(kind, "__args__", ())}
    kinds |= {getattr(k, "__origin__", None) for k in kinds}
    return float in kinds and str not in kinds


def merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A table with another one on top, tables within it alike."""
    found = dict(table)
    for key, value in over.items():
        old = found.get(key)
        found[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def _origin(origins: Mapping[str, Origin], key: str) -> Origin | None:
    """The origin of a key, of the value that it lies in, or else of the first key beside it."""
    parts = re.split(r"\.|\[", key)
    for n in range(len(parts), 0, -1):
        prefix = ".".join(parts[:n])
        for known, origin in origins.items():
            if known == prefix or known.startswith(prefix + "."):
                return origin
    return None


def at(origin: Origin | None) -> str:
    """How an error message begins that knows where the value came from."""
    return f"{origin}: " if origin is not None else ""


def unknown(
    key: str, known: Iterable[str], origin: Origin | None, what: str = "there is no such setting"
) -> UsageError:
    """The error for a name that means nothing, with the nearest ones that do (beside it, when names have dots)."""
    names = {name.rpartition(".")[2]: name for name in sorted(known)}
    near = difflib.get_close_matches(key.rpartition(".")[2], names, n=2)
    hint = f"did you mean {' or '.join(names[n] for n in near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"{at(origin)}{key}: {what}; {hint}")
