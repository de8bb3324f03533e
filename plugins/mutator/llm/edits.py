"""A patch as a model writes it: exact replacements in a text, applied by our own code. Pure.

Every `find` must occur exactly once in the text as it is when its turn comes; whatever else is an error whose words are
fit to be sent back. Nothing is guessed: no fuzzy matching, no line numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class EditError(ValueError):
    """A patch does not apply; the message is fit to be shown to the model."""


class Edit(Struct, frozen=True):
    """Replace `find`, copied verbatim from the program, by `replace`. An empty `replace` deletes it."""

    find: str
    replace: str


class Patch(Struct, frozen=True):
    """The reply to a call that asks for a patch: edits in the order in which they are made."""

    edits: tuple[Edit, ...]


def apply(program: str, edits: Sequence[Edit]) -> str:
    """Make the edits one after the other; raises `EditError` for the first that does not apply."""
    if not edits:
        raise EditError("there are no edits")
    for number, edit in enumerate(edits, start=1):
        if not edit.find.strip():
            raise EditError(f"edit {number}: the text to find is empty")
        count = program.count(edit.find)
        if count != 1:
            which = "does not occur in the program" if not count else f"occurs {count} times; add lines around it"
            raise EditError(f"edit {number}: the text to find, {_short(edit.find)!r}, {which}")
        program = program.replace(edit.find, edit.replace)
    return program


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:120]} … {text[-60:]}"
