"""Writes `events/README.md`: the catalogue of everything that can be said, generated from the types themselves.

`python -m gome.kernel.catalogue` rewrites the page in a checkout, `--check` only says whether it is up to date (exit 1
when not). Called by `make fix` and `make check`; a test compares as well. Nothing here is used while gome runs.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

import gome.events
from gome.events import TYPES, Intent, Payload

LEAD = """\
# What can be said

Every type of event, generated from the code by `make fix`. A type's name is its tag in the log and never changes;
its version counts incompatible changes of its shape. Fields without a default are required. An *intent* asks for an
effect and has at most one result. Values inside events (`Task`, `Artifact`, `Text`, …) stand at the end.
"""
TOPICS = ("run", "step", "hypothesis", "completion", "code", "execution", "score", "feedback", "selection", "effect")
"""Modules of payloads in the order of the loop."""


def page() -> str:
    """The whole page as Markdown."""
    parts = [LEAD]
    values: dict[str, type] = {}
    rest = sorted({kind.__module__.rpartition(".")[2] for kind in TYPES} - set(TOPICS))
    for topic in (*TOPICS, *rest):
        kinds = [kind for kind in TYPES if kind.__module__.rpartition(".")[2] == topic]
        parts.append(f"## {topic.capitalize()}\n\n{_first_sentence(sys.modules[kinds[0].__module__])}\n")
        for kind in sorted(kinds, key=lambda k: inspect.getsourcelines(k)[1]):
            parts.append(_entry(kind))
            _collect(kind, values)
    parts.append("## Values\n")
    parts.extend(_entry(values[name]) for name in sorted(values))
    parts.append("## Words\n\n| type | one of |\n|---|---|")
    parts.extend(
        f"| `{name}` | {', '.join(f'`{word}`' if word else '(empty)' for word in words)} |" for name, words in _words()
    )
    return "\n".join(parts) + "\n"


def _words() -> list[tuple[str, tuple[str, ...]]]:
    """Names of fields' types that are closed lists of words, with the words."""
    named = {name: getattr(gome.events, name) for name in gome.events.__all__}
    return sorted((name, get_args(value)) for name, value in named.items() if get_origin(value) is Literal)


def _first_sentence(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _entry(kind: type) -> str:
    version = f", version {kind.version}" if issubclass(kind, Payload) and kind.version > 1 else ""
    mark = f" (intent{version})" if issubclass(kind, Intent) else (f" ({version[2:]})" if version else "")
    lines = [f"### {kind.__name__}{mark}\n", f"{inspect.getdoc(kind) or ''}\n"]
    fields = msgspec.structs.fields(kind)
    if fields:
        lines.append("| field | type | default |\n|---|---|---|")
        hints = inspect.get_annotations(kind)
        for field in fields:
            hint = str(hints.get(field.name, field.type)).replace("|", "\\|")
            lines.append(f"| `{field.encode_name}` | `{hint}` | {_default(field)} |")
        lines.append("")
    return "\n".join(lines)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return ""
    if field.default is msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`" if callable(field.default_factory) else ""
    text = repr(field.default)
    return f"`{text}`" if len(text) <= 40 else f"`{type(field.default).__name__}(…)`"


def _collect(kind: type, found: dict[str, type]) -> None:
    """Add the structs that a type's fields mention, and theirs; those that only name a file's part are all listed."""
    for field in msgspec.structs.fields(kind):
        for value in _structs_in(field.type):
            if value.__name__ not in found and value.__name__ in gome.events.__all__:
                found[value.__name__] = value
                _collect(value, found)


def _structs_in(hint: Any) -> list[type]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [found for argument in getattr(hint, "__args__", ()) for found in _structs_in(argument)]


def path() -> Path:
    """Where the page lies: beside the package's code."""
    return Path(gome.events.__file__).parent / "README.md"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` compare it; returns the exit code."""
    text, where = page(), path()
    current = where.read_text(encoding="utf-8") if where.exists() else ""
    if arguments == ["--check"]:
        if current != text:
            print(f"{where} is not what the types say; `make fix` writes it", file=sys.stderr)
        return int(current != text)
    if current != text:
        where.write_text(text, encoding="utf-8")
        print(f"wrote {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
