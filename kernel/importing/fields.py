"""The fields of one iteration of a recorded run, read generously: whatever shape they have, and nothing else is lost.

Values come as verbatim bytes and are parsed one by one, so that one that cannot be read costs only itself. Which
attempt an iteration started from is `forest`'s, what is said about it in events `story`'s.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gome.kernel.importing.scan import members_of, text_of

LOOP = re.compile(r"loop_(\d{1,9})")
SCENARIO = "scenario"
HIDDEN = ("test_report", "mle_score", "test_score", "grading_report")
"""Fields with grades on hidden answers: they go to the vault."""
KNOWN: dict[str, frozenset[str]] = {
    part: frozenset(names.split())
    for part, names in {
        "scenario": "background submission_specifications evaluation metric_name metric_direction raw_description "
        "runtime_environment rendered rewrite_scen",
        "loop": "base_code code final_hypothesis task feedback valid_score test_report sota_hypothesis running_time",
        "final_hypothesis": "hypothesis component reason problem_name problem_desc problem_label appendix "
        "concise_reason concise_observation concise_justification concise_knowledge",
        "task": "name description version package_info user_instructions base_code",
        "feedback": "decision reason code_change_summary observations hypothesis_evaluation new_hypothesis "
        "eda_improvement acceptable exception",
        "test_report": "competition_id score gold_threshold silver_threshold bronze_threshold median_threshold "
        "any_medal gold_medal silver_medal bronze_medal above_median submission_exists valid_submission "
        "is_lower_better created_at submission_path",
    }.items()
}
"""Names of fields that are known, by the object they are in."""
_TENSOR = re.compile(r"\s*(?:tensor|np\.float\d+|float\d*)\(\s*([^,()]+)")
_DECISION = re.compile(r"\bdecision\b\W{0,8}(true|false|yes|no|accept\w*|reject\w*)\b", re.IGNORECASE)
_YES, _NO = ("true", "yes", "accept", "accepted", "1"), ("false", "no", "reject", "rejected", "0")
NAMES = 50_000
"""Characters that the names of an iteration's fields may have together."""
CLIP = 4_000
"""Characters of a text that go into an event as a plain string; the whole is in the verbatim fields."""


class Unreadable(ValueError):
    """Bytes that no JSON parser reads."""


@dataclass
class Loop:
    """One iteration. `verbatim` are its fields in order, without the programs that are texts and without hidden ones;
    `values` their parsed values, where they can be parsed. `unseen` are names of fields that are not known,
    `problems` sentences about what could not be read."""

    name: str
    number: int
    digest: str
    code: str = ""
    base_code: str = ""
    order: tuple[str, ...] = ()
    verbatim: list[tuple[str, bytes]] = field(default_factory=list)
    hidden: list[tuple[str, bytes]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def parse(raw: bytes) -> Any:
    """A JSON value; NaN and the infinities, control characters in strings and huge numbers are let through."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return json.loads(raw.decode(), strict=False)
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start:,} of it is no UTF-8") from error
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(" ".join(str(error).split())) from error


def digest_of_loop(raw: bytes) -> str:
    """What tells an iteration's bytes apart: 32 hex digits."""
    return hashlib.sha256(raw).hexdigest()[:32]


def read_loop(name: str, raw: bytes) -> Loop:
    """Take an iteration apart. Raises `Unreadable` when it is no text, `Damage` when it is no object."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start:,} of it is no UTF-8") from error
    match = LOOP.fullmatch(name)
    loop = Loop(name, int(match[1]) if match else 0, digest_of_loop(raw))
    found = members_of(raw)
    names = [key for key, _ in found]
    if sum(map(len, names)) > NAMES:
        raise Unreadable(f"the names of its {len(names):,} fields have more than {NAMES:,} characters")
    loop.order = tuple(names)
    for key, value in found:
        if names.count(key) > 1:
            loop.problems.append(f"the key {clip(key, 60)!r} is there {names.count(key)} times; the last one counts")
        if key in ("code", "base_code") and names.count(key) == 1 and value[:1] == b'"':
            text = text_of(value)
            if text is not None:
                setattr(loop, key, text)
                continue
        if key in HIDDEN and value != b"null":
            loop.hidden.append((key, value))
        else:
            loop.verbatim.append((key, value))
        try:
            loop.values[key] = parse(value)
        except Unreadable as error:
            loop.values.pop(key, None)
            loop.problems.append(f"{clip(key, 60)} cannot be read: {error}")
    loop.problems = list(dict.fromkeys(loop.problems))
    loop.unseen = unseen("loop", loop.order)
    for part in ("final_hypothesis", "task", "feedback", "test_report"):
        if isinstance(inner := loop.values.get(part), dict):
            loop.unseen += unseen(part, inner)
    return loop


def unseen(part: str, names: Any) -> list[str]:
    """Names of fields that are not known, with the object they are in."""
    return [f"{part}.{clip(name, 60)}" for name in dict.fromkeys(names) if name not in KNOWN[part]]


def clip(text: str, limit: int = CLIP) -> str:
    """A text that is fit for an event: whole characters only, cut where it is long."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def words(value: Any, limit: int = CLIP) -> str:
    """A value as text: strings as they are, nothing as nothing, anything else as JSON."""
    if value is None:
        return ""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (ValueError, RecursionError):
            return ""
    return clip(value, limit)


def number_of(value: Any) -> float | None:
    """A finite number: as number, numeric text, or the print of a tensor; None otherwise."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        inner = _TENSOR.match(value)
        value = inner[1] if inner else value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def score_of(value: Any, metric: str = "") -> float | None:
    """A validation score: a number, or a table `{metric: {model: score}}` (or the other way round), of which the row
    `ensemble` counts, else the only one."""
    if not isinstance(value, dict):
        return number_of(value)
    if not value:
        return None
    if "ensemble" in value:
        chosen = value["ensemble"]
    elif metric in value:
        chosen = value[metric]
    elif len(value) == 1 or all(isinstance(v, dict) and "ensemble" in v for v in value.values()):
        chosen = next(iter(value.values()))
    else:
        return None
    if isinstance(chosen, dict):
        if metric in chosen:
            return number_of(chosen[metric])
        if "ensemble" in chosen:
            return number_of(chosen["ensemble"])
        return number_of(next(iter(chosen.values()))) if len(chosen) == 1 else None
    return number_of(chosen)


def yes_or_no(value: Any) -> bool | None:
    """A truth value, also as a word; None where it is neither."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _YES else False if word in _NO else None


def decision_of(feedback: Any) -> bool | None:
    """Whether the iteration was accepted: the field `decision`, or the line of a rendered feedback that says so."""
    if isinstance(feedback, dict):
        return yes_or_no(feedback.get("decision"))
    found = _DECISION.search(feedback) if isinstance(feedback, str) else None
    return yes_or_no(found[1].lower().replace("ance", "")) if found else None


def statement_of(hypothesis: Any) -> str:
    """The sentence of a hypothesis, given as an object or as text."""
    if isinstance(hypothesis, dict):
        return words(hypothesis.get("hypothesis"))
    return words(hypothesis)


def component_of(hypothesis: Any) -> str:
    """Its component, without the prefix that an enumeration's print has."""
    value = hypothesis.get("component") if isinstance(hypothesis, dict) else None
    return words(value, 60).rpartition(".")[2]
