"""What is known beforehand of endpoints and models: the rules of quirks.toml and how they fit. No network here."""

from __future__ import annotations

import importlib.resources
import tomllib
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from gome.events import ReplyMode

System = Literal["system", "developer", "user"]
THINK = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<seed:think>", "</seed:think>"))
"""Signs around thoughts that some servers leave in the reply."""


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """How an endpoint wants to be asked.

    `mode` is the strictest way to ask for a shape that it honours, `system` the role under which instructions come,
    `names` what parameters (`max_tokens`, `temperature`, `seed`, `effort`, `stream_options`) are called there (a dot
    leads into an object), `drop` those it does not take. `auth` is where the key goes; with `deployments` a base URL
    without a path stands for the model's own; `api_version` goes into the query. `think` are the signs around
    thoughts; an empty first one means that the reply begins inside.
    """

    mode: ReplyMode = "schema"
    system: System = "system"
    names: dict[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    stream: bool = True
    auth: Literal["bearer", "api-key"] = "bearer"
    deployments: bool = False
    api_version: str = ""
    think: tuple[tuple[str, str], ...] = THINK


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: patterns, and the fields of `Quirks` that it sets."""

    about: str
    sets: dict[str, Any]
    host: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    model: tuple[str, ...] = ()

    def fits(self, host: str, port: int | None, path: str, model: str) -> bool:
        """Whether every kind of pattern that the rule has fits."""
        hosts = (host, f"{host}:{port}")
        models = (model, model.rpartition("/")[2])
        return (
            _any(self.host, hosts) and _any(self.path, (path,)) and _any(self.model, tuple(m.lower() for m in models))
        )


def _any(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


@cache
def rules() -> tuple[Rule, ...]:
    """The shipped rules in their order; raises `msgspec.ValidationError` for one that means nothing."""
    text = (importlib.resources.files(__package__) / "quirks.toml").read_text(encoding="utf-8")
    patterns = ("about", "host", "path", "model")
    found = []
    for table in tomllib.loads(text)["rule"]:
        sets = {key: value for key, value in table.items() if key not in patterns}
        msgspec.convert(sets, Quirks)
        found.append(msgspec.convert({k: v for k, v in table.items() if k in patterns} | {"sets": sets}, Rule))
    return tuple(found)


def quirks_of(base_url: str, model: str) -> Quirks:
    """What is known of a model at an endpoint."""
    parts = urlsplit(base_url)
    known: dict[str, Any] = {}
    for rule in rules():
        if rule.fits((parts.hostname or "").lower(), parts.port, parts.path.lower(), model):
            known |= rule.sets
    return msgspec.convert(known, Quirks)


def address(base_url: str, model: str, quirks: Quirks, api_version: str = "") -> str:
    """The URL that completions of a model are asked at; `api_version` wins over the known one."""
    if quirks.deployments and urlsplit(base_url).path in ("", "/"):
        base_url = f"{base_url}/openai/deployments/{model}"
    version = api_version or quirks.api_version
    return f"{base_url}/chat/completions" + (f"?api-version={version}" if version else "")
