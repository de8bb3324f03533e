"""Payloads to bytes and back, and the form in which two payloads are compared.

JSON by msgspec, with three additions: numbers that JSON lacks are tagged (`{"$float": "nan"}`; msgspec would write
null), a long `Text` can be moved out of a payload and put back, and types or fields this version does not know
survive, because the raw bytes stay beside the decoded value. A `Codec` is a value: built from the types of
`gome.events` plus whatever plugins emit; there is no global registry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from gome.events.artifact import DIGEST, Text, digest_of
from gome.events.event import Cost, Event
from gome.events.payload import Intent, Payload, Unknown
from gome.events.record import Commit, Saying, Sealed
from gome.events.upcast import UPCASTS, Upcast, upcast

INLINE_LIMIT = 32_000
"""Bytes of a text above which it is moved out of its record."""
_NONFINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
_plain = msgspec.json.Encoder()
_sorted = msgspec.json.Encoder(order="deterministic")
_pack = msgspec.msgpack.Encoder()


class CodecError(ValueError):
    """A payload does not have the shape its type promises."""


def _tag(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")}
    if isinstance(value, dict):
        return {k: _tag(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tag(v) for v in value]
    return value


def _untag(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and "$float" in value:
            return float(value["$float"])
        return {k: _untag(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_untag(v) for v in value]
    return value


def encode_value(value: Any) -> bytes:
    """Encode any value msgspec knows as JSON, tagging numbers that are not finite."""
    data = _plain.encode(value)
    # Numbers that are not finite come out as null, so where there is none nothing has to be looked for; and a search
    # for a fixed string is ten times faster than one for a pattern.
    if b"null" in data:
        packed = _pack.encode(value)
        if (b"\xcb\x7f" in packed or b"\xcb\xff" in packed) and _NONFINITE.search(packed):
            return _plain.encode(_tag(msgspec.to_builtins(value)))
    return data


def decode_value(data: bytes) -> Any:
    """Decode JSON to plain values, with tagged numbers restored."""
    value = msgspec.json.decode(data)
    return _untag(value) if b'"$float"' in data else value


def _texts(value: Any) -> Iterable[dict[str, Any]]:
    """Every `Text` in plain JSON values, as the dict it is there, outermost first. A JSON schema says `$ref` too, but
    refers to no digest."""
    if isinstance(value, dict):
        if "$text" in value or str(value.get("$ref", "")).startswith(DIGEST):
            yield value
        else:
            for v in value.values():
                yield from _texts(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _texts(v)


def move_out(data: bytes, put: Callable[[bytes], str], *, limit: int = INLINE_LIMIT, largest: bool = False) -> bytes:
    """Replace texts in an encoded payload by their digest, storing each with `put` first.

    Moved are pooled texts and those above `limit` bytes; with `largest`, the largest inline one whatever its size.
    Returns `data` unchanged when there is nothing to move.
    """
    if not largest and len(data) <= limit and b'"$ref"' not in data:
        return data
    value = msgspec.json.decode(data)
    inline = [t for t in _texts(value) if t.get("$text")]
    chosen = [t for t in inline if t.get("$ref") or len(t["$text"].encode()) > limit]
    if largest and not chosen and inline:
        chosen = [max(inline, key=lambda t: len(t["$text"]))]
    if not chosen:
        return data
    for text in chosen:
        content = text.pop("$text").encode()
        text["$ref"] = put(content)
        text["$size"] = len(content)
    return _plain.encode(value)


def _put_back(value: Any, resolve: Callable[[str], str]) -> Any:
    for text in _texts(value):
        if text.get("$text") is None and text.get("$ref"):
            text["$text"] = resolve(text["$ref"])
    return value


def _own_texts(kind: type[Payload]) -> tuple[str, ...]:
    """Names of the fields of a payload type that are texts."""
    return tuple(f.name for f in structs.fields(kind) if f.type is Text)


class Codec:
    """Knows payload types by name. `types` adds to (and may not contradict) the types of `gome.events`."""

    def __init__(self, types: Iterable[type[Payload]], upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS) -> None:
        self.types: dict[str, type[Payload]] = {}
        self.upcasts = upcasts
        for kind in types:
            known = self.types.setdefault(kind.__name__, kind)
            if known is not kind:
                raise CodecError(f"two payload types are called {kind.__name__}: {known.__module__}, {kind.__module__}")
        self._decoders = {name: msgspec.json.Decoder(kind).decode for name, kind in self.types.items()}
        self._own_texts = {kind: _own_texts(kind) for kind in self.types.values()}

    def saying(self, id: str, payload: Payload, *, cause: str = "", corr: str = "", cost: Cost | None = None) -> Saying:
        """Encode one payload as an event of a draft. Raises `CodecError` for what would not read back the same type: a
        record that nobody can decode would cost the whole run."""
        kind = type(payload)
        name = kind.__name__
        if self.types.get(name) is not kind:
            raise CodecError(f"a {name} is no event that this run knows; a plugin lists types of its own in `emits`")
        try:
            data = encode_value(payload)
        except (TypeError, ValueError, RecursionError) as error:
            raise CodecError(f"a {name} cannot be written: {error}") from error
        try:
            self.decode(name, kind.version, data)
        except CodecError as error:
            raise CodecError(f"a {name} does not fit its type and cannot be recorded: {error.__cause__}") from error
        return Saying(id, name, kind.version, data, cause, corr, cost)

    def decode(
        self, kind: str, version: int, data: bytes, resolve: Callable[[str], str] | None = None
    ) -> Payload | Unknown:
        """Decode a payload, upcasting old shapes; `resolve` (digest → text) puts moved-out texts back."""
        plain = self._decoders.get(kind)
        if plain is None:
            return Unknown(kind, decode_value(data))
        known = self.types[kind]
        try:
            moved = resolve is not None and b'"$ref"' in data
            if version >= known.version and b'"$float"' not in data:
                if not moved:
                    return plain(data)
                if resolve is not None and (found := self._filled(plain(data), data, resolve)) is not None:
                    return found
            value = decode_value(data)
            if version < known.version:
                value = upcast(kind, version, known.version, value, self.upcasts)
            if moved and resolve is not None:
                value = _put_back(value, resolve)
            return msgspec.convert(value, known)
        except (msgspec.MsgspecError, LookupError) as error:
            raise CodecError(f"a {kind} (version {version}) does not decode: {error}") from error

    def _filled(self, payload: Payload, data: bytes, resolve: Callable[[str], str]) -> Payload | None:
        """Put back the texts that are fields of a payload; None when others were moved out as well."""
        texts = {name: getattr(payload, name) for name in self._own_texts[type(payload)]}
        moved = {name: text for name, text in texts.items() if text.ref}
        if data.count(b'"$ref"') != len(moved):
            return None
        back = {n: Text(resolve(t.ref), t.ref, t.size) for n, t in moved.items() if t.text is None}
        return structs.replace(payload, **back)

    def stored(self, payload: Payload) -> bytes:
        """A payload's bytes as they are stored when only pooled texts that are its fields are moved out, which is the
        usual case; the texts themselves are not read for it."""
        texts = {name: getattr(payload, name) for name in self._own_texts.get(type(payload), ())}
        pooled = {name: Text(None, text.ref, text.size) for name, text in texts.items() if text.ref}
        return encode_value(structs.replace(payload, **pooled) if pooled else payload)

    def commit(self, sealed: Sealed, resolve: Callable[[str], str] | None = None) -> Commit:
        """Decode the events of a record."""
        body = sealed.body
        events = []
        seq = body.seq
        for w in body.events:
            raw = bytes(w.payload)
            events.append(
                Event(
                    w.id,
                    w.type,
                    seq,
                    w.ts,
                    self.decode(w.type, w.tv, raw, resolve),
                    w.tv,
                    w.cause,
                    w.corr,
                    body.decider,
                    body.active,
                    w.cost,
                    raw,
                )
            )
            seq += 1
        return Commit(sealed, events)

    def canonical(self, kind: str, version: int, data: bytes) -> bytes:
        """The form in which payloads are compared: today's shape, defaults written out, unknown fields kept, keys
        sorted, every text as its digest."""
        value = decode_value(data)
        known = self.types.get(kind)
        if known is not None:
            if version < known.version:
                value = upcast(kind, version, known.version, value, self.upcasts)
            full = msgspec.to_builtins(msgspec.convert(value, known))
            value = {**{k: v for k, v in value.items() if k not in full}, **full}
        for text in list(_texts(value)):
            content, ref = text.get("$text"), text.get("$ref")
            text.clear()
            text["$digest"] = ref or digest_of((content or "").encode())
        return _sorted.encode(_tag(value))

    def argument_digest(self, intent: Intent) -> str:
        """Digest of what an intent asks for, its volatile fields left out."""
        return self.argument_digest_of(type(intent).__name__, type(intent).version, encode_value(intent))

    def argument_digest_of(self, kind: str, version: int, data: bytes) -> str:
        """The same from a stored payload."""
        known = self.types.get(kind)
        value = msgspec.json.decode(self.canonical(kind, version, data))
        for name in getattr(known, "volatile", ()):
            value.pop(name, None)
        return digest_of(kind.encode() + b"\0" + _sorted.encode(value))
