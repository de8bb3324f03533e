"""How one model at one endpoint is asked, as far as it is known by now: the quirks, changed by what it has refused.

A dialect is a value. `body` writes a request in it; `heed` reads an answer that refuses something and returns the
dialect to try next. What has been learnt is kept per (base URL, model) for the life of the process. No network here.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct, field

from gome.events import CompletionRequested, ReplyMode, digest_of
from gome.plugins.completion.openai.quirks import Quirks, System, quirks_of
from gome.plugins.completion.openai.schema import enforceable, in_words, strict
from gome.plugins.completion.openai.settings import Settings

WEAKER: dict[ReplyMode, ReplyMode] = {"schema": "json", "json": "text"}
"""What to fall back to when a way of asking for a shape is refused."""
_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_MEANS: dict[str, str] = {
    "max_tokens": r"max_(completion_|output_)?tokens|in the completion",
    "temperature": r"temperature",
    "seed": r"\b(random_)?seed\b",
    "effort": r"reasoning[._ ]?effort|\breasoning\b(?! model)|\beffort\b|\bthinking\b",
    "stream_options": r"stream_options|include_usage",
    "stream": r"\bstream(ing)?\b",
    "format": r"response_?format|json[_ ]?(schema|object|mode)|\bschema\b|structured output|grammar",
    "system": r"system[ _]?(role|message|prompt|instruction)|role.{0,30}\bsystem\b|'system'|\[0\]\.role"
    r"|developer (message|role|instruction)|roles must alternate",
}
"""Words by which a refusal names a part of the request."""
_UNKNOWN = re.compile(r"un(supported|known|recogni[sz]ed|expected)|not (supported|permitted|allowed)|extra |instead")
_OF_THE_SCHEMA = re.compile(r"invalid.{0,20}schema|schema.{0,40}(invalid|not (valid|supported|permitted))")


class Dialect(Struct, frozen=True):
    """See the module. `modes` are weaker ways to ask for single schemas (by digest) that the endpoint cannot
    take; with `words` an enforced schema is said in words, too, because the endpoint seems to ignore it."""

    quirks: Quirks
    mode: ReplyMode
    system: System
    names: dict[str, str]
    drop: frozenset[str]
    stream: bool
    modes: dict[str, ReplyMode] = field(default_factory=dict)
    words: bool = False

    def mode_for(self, schema: dict[str, Any]) -> ReplyMode:
        """How to ask for a shape; `text` where none is wanted or a format could not say it."""
        if not schema or not enforceable(schema):
            return "text"
        return self.modes.get(schema_digest(schema), self.mode)


def schema_digest(schema: dict[str, Any]) -> str:
    """Tells schemas apart."""
    return digest_of(msgspec.json.encode(schema, order="deterministic"))


def body(dialect: Dialect, request: CompletionRequested) -> dict[str, Any]:
    """The JSON body that asks for a completion."""
    mode = dialect.mode_for(request.schema)
    words = in_words(request.schema) if request.schema and (mode != "schema" or dialect.words) else ""
    sent: dict[str, Any] = {"model": request.model, "messages": _messages(request, dialect.system, words)}
    given = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "effort": request.effort or None,
        "stream_options": {"include_usage": True} if dialect.stream else None,
    }
    for name, value in given.items():
        if value is not None and name not in dialect.drop:
            _put(sent, dialect.names.get(name, "reasoning_effort" if name == "effort" else name), value)
    if dialect.stream:
        sent["stream"] = True
    if mode == "schema":
        closed = strict(request.schema)
        name = re.sub(r"[^A-Za-z0-9_-]", "_", request.name)[:60] or "reply"
        shape = {"name": name, "strict": closed is not None, "schema": request.schema if closed is None else closed}
        sent["response_format"] = {"type": "json_schema", "json_schema": shape}
    elif mode == "json":
        sent["response_format"] = {"type": "json_object"}
    return sent


def _messages(request: CompletionRequested, system: System, words: str) -> list[dict[str, str]]:
    """The conversation; instructions come under the role that the endpoint takes, or at the head of the first turn."""
    told = [str(m.content) for m in request.messages if m.role == "system"] + ([words] if words else [])
    turns = [{"role": m.role, "content": str(m.content)} for m in request.messages if m.role != "system"]
    instructions = "\n\n".join(told)
    if not instructions:
        return turns
    if system != "user":
        return [{"role": system, "content": instructions}, *turns]
    if turns and turns[0]["role"] == "user":
        return [{"role": "user", "content": f"{instructions}\n\n{turns[0]['content']}"}, *turns[1:]]
    return [{"role": "user", "content": instructions}, *turns]


def _put(sent: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for name in outer:
        sent = sent.setdefault(name, {})
    sent[last] = value


def heed(current: Dialect, sent: Dialect, request: CompletionRequested, said: str) -> Dialect | None:
    """The dialect to try next after an answer with these words refused a request sent in `sent`; `current` is what is
    known by now, which other calls may have changed meanwhile. None when the words name nothing that could be asked
    for differently."""
    said = said.lower()
    there = _there(sent, request)
    places = {part: match.start() for part in there if (match := re.search(_MEANS[part], said))}
    if not places:
        return None
    part = min(places, key=lambda p: places[p])
    if _aspect(current, part, request) != _aspect(sent, part, request):
        return current
    return _without(current, request, part, said)


def _aspect(dialect: Dialect, part: str, request: CompletionRequested) -> object:
    """How a dialect asks for one part of the request."""
    if part == "format":
        return dialect.mode_for(request.schema)
    if part in ("system", "stream"):
        return getattr(dialect, part)
    return part in dialect.drop, dialect.names.get(part)


def weaker(dialect: Dialect, request: CompletionRequested, *, only_here: bool) -> Dialect | None:
    """Ask for the shape less strictly: for this schema only, or for all. None when it cannot be less."""
    mode = dialect.mode_for(request.schema)
    if mode not in WEAKER:
        return None
    if only_here:
        return msgspec.structs.replace(dialect, modes={**dialect.modes, schema_digest(request.schema): WEAKER[mode]})
    return msgspec.structs.replace(dialect, mode=WEAKER[mode])


def _there(dialect: Dialect, request: CompletionRequested) -> list[str]:
    """Parts that a request in this dialect has, and that could be left out."""
    parts = {
        "max_tokens": True,
        "temperature": request.temperature is not None,
        "seed": request.seed is not None,
        "effort": bool(request.effort),
        "stream_options": dialect.stream,
        "stream": dialect.stream,
        "format": dialect.mode_for(request.schema) != "text",
        "system": dialect.system != "user",
    }
    return [part for part, there in parts.items() if there and part not in dialect.drop]


def _without(dialect: Dialect, request: CompletionRequested, part: str, said: str) -> Dialect | None:
    replace = msgspec.structs.replace
    if part == "stream":
        return replace(dialect, stream=False)
    if part == "system":
        other: System = "developer" if dialect.system == "system" and "developer" in said else "user"
        return replace(dialect, system=other)
    if part == "format":
        return weaker(dialect, request, only_here=bool(_OF_THE_SCHEMA.search(said)))
    if part == "max_tokens":
        name = dialect.names.get(part, part)
        first = dialect.quirks.names.get(part, part)
        if name == first and name in _LIMITS and _UNKNOWN.search(said):
            return replace(dialect, names={**dialect.names, part: _LIMITS[name]})
    return replace(dialect, drop=dialect.drop | {part})


_learnt: dict[tuple[object, ...], Dialect] = {}


def known(base_url: str, model: str, settings: Settings) -> Dialect:
    """The dialect of a model at an endpoint by now. Settings that name a mode or switch streaming off win."""
    found = _learnt.get((base_url, model, settings.mode, settings.streaming))
    if found is None:
        q = quirks_of(base_url, model)
        mode = q.mode if settings.mode == "auto" else settings.mode
        stream = q.stream and settings.streaming
        found = Dialect(quirks=q, mode=mode, system=q.system, names=q.names, drop=q.drop, stream=stream)
    return found


def remember(base_url: str, model: str, settings: Settings, dialect: Dialect) -> None:
    """Ask so from now on."""
    _learnt[base_url, model, settings.mode, settings.streaming] = dialect


def forget() -> None:
    """Know nothing but the quirks again."""
    _learnt.clear()
