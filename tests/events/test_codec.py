"""Payloads to bytes and back: nothing is lost, nothing is guessed, and equal means equal."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import (
    CODEC,
    INLINE_LIMIT,
    TYPES,
    Artifact,
    Codec,
    CodecError,
    CodeWritten,
    CompletionRequested,
    DataProfiled,
    Intent,
    Message,
    NoteAdded,
    Payload,
    RecallRequested,
    StepPlanned,
    SubmissionScored,
    Text,
    Unknown,
    decode_value,
    digest_of,
    encode_value,
    move_out,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equality in which NaN equals NaN and 1 does not equal 1.0 or True."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def stored(payload: Payload) -> bytes:
    return CODEC.saying("id", payload).payload


def back(payload: Payload) -> Any:
    said = CODEC.saying("id", payload)
    return CODEC.decode(said.type, said.tv, said.payload)


class Shelf:
    """Where texts are moved to."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        self.kept[digest] = data
        return digest

    def text(self, digest: str) -> str:
        return self.kept[digest].decode()


@given(JSON)
def test_every_plain_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decode_value(encode_value(value)), value)


@given(st.floats(), st.lists(st.floats(), max_size=5))
def test_every_number_of_a_payload_comes_back(score: float, folds: list[float]) -> None:
    found = back(SubmissionScored("a1", "full", score, fold_scores=tuple(folds)))
    assert same(found.score, score) and same(list(found.fold_scores), folds)


@pytest.mark.parametrize(("value", "tag"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_numbers_that_json_lacks_are_tagged_instead_of_becoming_null(value: float, tag: str) -> None:
    data = stored(SubmissionScored("a1", "full", value))
    assert b'"score":{"$float":"%s"}' % tag.encode() in data and b"null" not in data.replace(b'"masked_fold":null', b"")


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.__name__)
def test_a_type_is_registered_by_its_name_and_cannot_be_changed(kind: type[Payload]) -> None:
    assert CODEC.types[kind.__name__] is kind
    assert kind.__struct_config__.frozen


def test_an_unknown_type_survives_with_its_content() -> None:
    data = b'{"mood":"odd","depth":{"$float":"inf"}}'
    found = CODEC.decode("MoodSwung", 3, data)
    assert found == Unknown("MoodSwung", {"mood": "odd", "depth": math.inf})


def test_an_unknown_field_is_ignored_by_readers_and_kept_by_comparison() -> None:
    plain = stored(NoteAdded("hello"))
    more = plain[:-1] + b',"colour":"green"}'
    assert CODEC.decode("NoteAdded", 1, more) == NoteAdded("hello")
    assert b'"colour":"green"' in CODEC.canonical("NoteAdded", 1, more)
    assert CODEC.canonical("NoteAdded", 1, more) != CODEC.canonical("NoteAdded", 1, plain)


def test_a_payload_of_another_shape_is_refused_with_its_type() -> None:
    with pytest.raises(CodecError, match=r"a StepPlanned \(version 1\) does not decode"):
        CODEC.decode("StepPlanned", 1, b'{"attempt":1}')


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (NoteAdded(7), "a NoteAdded does not fit its type and cannot be recorded: Expected `str`, got `int`"),  # type: ignore[arg-type]
        (NoteAdded({1: object()}), "a NoteAdded cannot be written: .* object is unsupported"),  # type: ignore[arg-type]
        ({"text": "hello"}, "a dict is no event that this run knows"),
    ],
)
def test_what_could_not_be_read_back_is_never_written(payload: Any, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        CODEC.saying("id", payload)


def test_two_types_of_one_name_cannot_be_in_one_codec() -> None:
    other = msgspec.defstruct("NoteAdded", [("text", str)], bases=(Payload,), frozen=True)
    with pytest.raises(CodecError, match="two payload types are called NoteAdded"):
        Codec((*TYPES, other))


# Texts: inline or moved out, the same text.


def program(text: str, **more: Any) -> CodeWritten:
    return CodeWritten("a1", Text.of(text, **more), digest_of(text.encode()))


@pytest.mark.parametrize(("size", "moved"), [(0, False), (INLINE_LIMIT, False), (INLINE_LIMIT + 1, True)])
def test_a_long_text_is_moved_out_and_put_back(size: int, moved: bool) -> None:
    shelf, payload = Shelf(), program("ü" * (size // 2) + "x" * (size % 2))
    data = move_out(stored(payload), shelf.put)
    assert bool(shelf.kept) == moved
    assert CODEC.decode("CodeWritten", 1, data, shelf.text).program.text == payload.program.text  # type: ignore[union-attr]


def test_a_pooled_text_is_moved_out_whatever_its_size() -> None:
    shelf = Shelf()
    data = move_out(stored(program("short", pooled=True)), shelf.put)
    assert list(shelf.kept.values()) == [b"short"] and b'"short"' not in data
    assert str(CODEC.decode("CodeWritten", 1, data, shelf.text).program) == "short"  # type: ignore[union-attr]


def test_the_largest_text_is_moved_out_on_request() -> None:
    shelf = Shelf()
    assert move_out(stored(program("small")), shelf.put) == stored(program("small"))
    data = move_out(stored(program("small")), shelf.put, largest=True)
    assert list(shelf.kept.values()) == [b"small"]
    assert move_out(data, shelf.put, largest=True) == data


@given(st.text(max_size=50))
def test_a_text_compares_equal_inline_pooled_and_moved_out(text: str) -> None:
    shelf = Shelf()
    inline, pooled = stored(program(text)), stored(program(text, pooled=True))
    moved = move_out(pooled, shelf.put)
    forms = {CODEC.canonical("CodeWritten", 1, data) for data in (inline, pooled, moved)}
    assert len(forms) == 1
    assert Text.of(text).digest == Text.of(text, pooled=True).digest


def test_references_of_a_json_schema_are_no_texts() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
    messages = (Message("user", Text.of("hello", pooled=True)),)
    asked, shelf = CompletionRequested("c", "m", messages, schema=schema), Shelf()
    data = move_out(stored(asked), shelf.put)
    assert list(shelf.kept.values()) == [b"hello"]
    found = CODEC.decode("CompletionRequested", 1, data, shelf.text)
    assert (
        isinstance(found, CompletionRequested) and found.schema == schema and str(found.messages[0].content) == "hello"
    )
    assert b'"$ref":"#/$defs/A"' in CODEC.canonical("CompletionRequested", 1, data)


def test_a_text_that_is_not_resolved_says_so() -> None:
    with pytest.raises(ValueError, match="not resolved"):
        str(Text(ref="sha256-0"))


# Comparison.


def test_defaults_that_an_older_writer_left_out_do_not_count_as_a_difference() -> None:
    whole = stored(StepPlanned("a1", 0, 1))
    lean = b'{"step":1,"trace":0,"attempt":"a1"}'
    assert CODEC.canonical("StepPlanned", 1, whole) == CODEC.canonical("StepPlanned", 1, lean)


def test_the_order_of_keys_does_not_count() -> None:
    one, two = b'{"text":"x","author":"y"}', b'{"author":"y","text":"x"}'
    assert CODEC.canonical("NoteAdded", 1, one) == CODEC.canonical("NoteAdded", 1, two)


@given(JSON, JSON)
def test_canonical_bytes_are_equal_only_for_equal_values(a: Any, b: Any) -> None:
    def canonical(value: Any) -> bytes:
        return CODEC.canonical("SomethingNew", 1, encode_value({"value": value}))

    assert canonical(a) == canonical(a)
    if not same(a, b) and not _marked(a) and not _marked(b):
        assert canonical(a) != canonical(b)


def _marked(value: Any) -> bool:
    """Whether a value holds one of the codec's own marks, under which different spellings mean the same."""
    if isinstance(value, dict):
        return bool({"$text", "$ref", "$float"} & value.keys()) or any(map(_marked, value.values()))
    return isinstance(value, list) and any(map(_marked, value))


# Old shapes.


class Greeted(Payload, frozen=True):
    """Version 1 had `name`; 2 called it `who`; 3 made `who` a list."""

    who: list[str]
    loud: bool = False
    version: ClassVar[int] = 3


CHAIN = {
    ("Greeted", 1): lambda d: {"who": d["name"]},
    ("Greeted", 2): lambda d: {**d, "who": [d["who"]]},
}


@pytest.mark.parametrize(
    ("version", "data"), [(1, b'{"name":"Ada"}'), (2, b'{"who":"Ada"}'), (3, b'{"who":["Ada"],"loud":false}')]
)
def test_an_old_shape_is_brought_to_todays_step_by_step(version: int, data: bytes) -> None:
    codec = Codec((Greeted,), CHAIN)
    assert codec.decode("Greeted", version, data) == Greeted(["Ada"])
    assert codec.canonical("Greeted", version, data) == codec.canonical("Greeted", 3, b'{"who":["Ada"]}')


def test_a_missing_step_of_the_chain_is_named() -> None:
    with pytest.raises(CodecError, match="no upcast of Greeted from version 2 to 3"):
        Codec((Greeted,), {("Greeted", 1): CHAIN["Greeted", 1]}).decode("Greeted", 1, b'{"name":"Ada"}')


def test_a_newer_version_with_more_fields_still_reads() -> None:
    assert Codec((Greeted,), CHAIN).decode("Greeted", 4, b'{"who":["Ada"],"tone":"deep"}') == Greeted(["Ada"])


# Argument digests.


def test_where_a_wish_was_made_does_not_change_what_is_wished() -> None:
    one = RecallRequested("a1", 0, "a0", position=10, query="more")
    two = RecallRequested("a9", 0, "a0", position=99, query="more")
    other = RecallRequested("a1", 0, "a0", position=10, query="less")
    assert CODEC.argument_digest(one) == CODEC.argument_digest(two) != CODEC.argument_digest(other)


def test_an_argument_digest_is_the_same_from_a_stored_payload() -> None:
    intent = RecallRequested("a1", 0, "a0", position=10)
    assert CODEC.argument_digest(intent) == CODEC.argument_digest_of("RecallRequested", 1, stored(intent))


def test_an_argument_digest_minds_what_a_text_says_and_not_where_it_is_kept() -> None:
    said = (Message("system", Text.of("be brief", pooled=True)), Message("user", Text.of("why?")))
    intent = CompletionRequested("sketch", "m", said)
    moved = move_out(stored(intent), digest_of)
    assert b"be brief" not in moved
    assert CODEC.argument_digest_of("CompletionRequested", 1, moved) == CODEC.argument_digest(intent)
    other = CompletionRequested("sketch", "m", (said[0], Message("user", Text.of("why not?"))))
    assert CODEC.argument_digest(other) != CODEC.argument_digest(intent)


@pytest.mark.parametrize("kind", [k for k in TYPES if issubclass(k, Intent)], ids=lambda k: k.__name__)
def test_volatile_fields_of_an_intent_exist(kind: type[Intent]) -> None:
    assert set(kind.volatile) <= {f.name for f in msgspec.structs.fields(kind)}


def test_data_that_fits_in_an_event_stays_plain() -> None:
    profile = {"rows": 3, "skew": math.nan, "columns": ["a", "b"]}
    found = back(DataProfiled(Artifact("d", 1), Artifact("e", 2), 5, 8, profile=profile))
    assert same(found.profile, profile)
