"""JSON schemas as endpoints take them: the strict subset that can be enforced, and the same in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KEPT = ("type", "enum", "anyOf", "items", "properties", "required", "additionalProperties", "title", "description")
"""Keywords that every endpoint with enforced schemas takes. Bounds, lengths and patterns are not among them; they are
checked when the reply is read."""


def enforceable(schema: Mapping[str, Any]) -> bool:
    """Whether a schema can be asked for as a format at all: the reply must be an object."""
    return schema.get("type") == "object"


def strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in the strict subset: objects are closed, every property is required, other keywords are dropped.
    None where that would change what it means: objects with free keys, tuples, values of any kind."""
    try:
        found = _node(schema)
        if definitions := schema.get("$defs"):
            found["$defs"] = {name: _node(each) for name, each in definitions.items()}
    except _Free:
        return None
    return found


class _Free(Exception):
    """A part of the schema leaves open what the subset wants closed."""


def _node(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}  # nothing may stand beside it
    kept = {key: value for key, value in schema.items() if key in KEPT}
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    if "oneOf" in schema:
        kept["anyOf"] = schema["oneOf"]
    if "anyOf" in kept:
        kept["anyOf"] = [_node(each) for each in kept["anyOf"]]
    elif kept.get("type") == "object":
        if "properties" not in kept or kept.get("additionalProperties") not in (None, False):
            raise _Free
        kept["properties"] = {name: _node(each) for name, each in kept["properties"].items()}
        kept["required"] = list(kept["properties"])
        kept["additionalProperties"] = False
    elif kept.get("type") == "array":
        if "prefixItems" in schema or not isinstance(kept.get("items"), Mapping):
            raise _Free
        kept["items"] = _node(kept["items"])
    elif "type" not in kept and "enum" not in kept:
        raise _Free
    return kept


def in_words(schema: Mapping[str, Any]) -> str:
    """What to say where a schema is not enforced."""
    shown = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return (
        "Answer with one JSON value that fits the following JSON schema, and with nothing before or after it.\n"
        f"```json\n{shown}\n```"
    )
