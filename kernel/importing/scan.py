"""Where the members of a JSON object lie, found without parsing their values: strings, escapes and nesting only.

Works over any bytes, a memory map included, in one pass and without recursion, so that a file of any size can be taken
apart in memory that is bounded by its largest member. What JSON forbids inside a value is left to whoever parses it;
what breaks the structure is `Damage`, with the place.
"""

from __future__ import annotations

import json
import mmap
import re
from typing import TypeAlias

import msgspec

Data: TypeAlias = bytes | mmap.mmap

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb'[^\s,:"{}\[\]]++')
_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_text = msgspec.json.Decoder(str)
_CLOSES = {ord("{"): ord("}"), ord("["): ord("]")}


class Damage(Exception):
    """The structure ends or breaks at byte `offset` (from 0)."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"at byte {offset:,}: {why}")
        self.offset = offset
        self.why = why


def skip_space(data: Data, at: int) -> int:
    """The first place from `at` on that is no white space."""
    found = _SPACE.match(data, at)
    assert found is not None
    return found.end()


def skip_value(data: Data, at: int) -> int:
    """The end of the value that begins at `at`."""
    if at >= len(data):
        raise Damage(at, "the file ends where a value should begin")
    first = data[at]
    if first == 0x22:
        return _string(data, at)
    if first in _CLOSES:
        return _container(data, at)
    scalar = _SCALAR.match(data, at)
    if scalar is None:
        raise Damage(at, f"{chr(first)!r} where a value should begin")
    if scalar.end() == len(data):
        raise Damage(len(data), "the file ends inside a value")
    return scalar.end()


def _string(data: Data, at: int) -> int:
    found = _STRING.match(data, at)
    if found is None:
        raise Damage(len(data), f"the file ends inside the string that begins at byte {at:,}")
    return found.end()


def _container(data: Data, at: int) -> int:
    begin, open_ = at, bytearray([_CLOSES[data[at]]])
    at += 1
    while open_:
        found = _TO_BRACKET.match(data, at)
        assert found is not None
        at = found.end()
        if at >= len(data):
            raise Damage(at, f"the file ends inside the value that begins at byte {begin:,}")
        byte = data[at]
        if byte == 0x22:
            _string(data, at)
        if byte in _CLOSES:
            open_.append(_CLOSES[byte])
        elif byte == open_[-1]:
            open_.pop()
        else:
            raise Damage(at, f"{chr(byte)!r} where {chr(open_[-1])!r} should be")
        at += 1
    return at


class Members:
    """The members of the object at `at`, one after the other: `next` gives a key and where its value begins; whoever
    has found the value's end says so by setting `at` before asking again."""

    def __init__(self, data: Data, at: int) -> None:
        self._data = data
        self.at = skip_space(data, at)
        if self.at >= len(data) or data[self.at] != ord("{"):
            raise Damage(self.at, "no object begins here")
        self.at += 1
        self._first = True
        self.ended = False

    def next(self) -> tuple[str, int] | None:
        """The next key and the place of its value; None, with `at` behind the object, when there is none."""
        data = self._data
        at = skip_space(data, self.at)
        if at >= len(data):
            raise Damage(at, "the file ends inside an object")
        if data[at] == ord("}"):
            self.at, self.ended = at + 1, True
            return None
        if not self._first:
            if data[at] != ord(","):
                raise Damage(at, f"{chr(data[at])!r} where ',' or '}}' should be")
            at = skip_space(data, at + 1)
        if at >= len(data):
            raise Damage(at, "the file ends inside an object")
        if data[at] != 0x22:
            raise Damage(at, f"{chr(data[at])!r} where a key should begin")
        self._first = False
        end = _string(data, at)
        key = text_of(bytes(data[at:end]))
        if key is None:
            raise Damage(at, "a key that is no text")
        at = skip_space(data, end)
        if at >= len(data):
            raise Damage(at, "the file ends behind a key")
        if data[at] != ord(":"):
            raise Damage(at, f"{chr(data[at])!r} where ':' should be")
        self.at = skip_space(data, at + 1)
        return key, self.at


def text_of(raw: bytes) -> str | None:
    """The text of a JSON string; None where it is none that UTF-8 can hold (bad bytes, half a surrogate pair)."""
    try:
        return _text.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        # Python's parser lets control characters through, and half a surrogate pair, which cannot be encoded.
        text = json.loads(raw.decode(), strict=False)
        text.encode()
    except (ValueError, AttributeError):
        return None
    return text if isinstance(text, str) else None


def members_of(raw: bytes) -> list[tuple[str, bytes]]:
    """All members of an object as keys and verbatim values, in order, repeated keys included. Raises `Damage`."""
    found = Members(raw, 0)
    out = []
    while (member := found.next()) is not None:
        key, begin = member
        found.at = skip_value(raw, begin)
        out.append((key, raw[begin : found.at]))
    return out
