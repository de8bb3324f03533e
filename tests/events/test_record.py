"""The commit record: its place in the run, its chain, and every way in which stored bytes can be wrong."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import (
    CODEC,
    FORMAT,
    ROOT,
    Cost,
    Draft,
    Draw,
    Head,
    NoteAdded,
    Origin,
    RecordError,
    Sealed,
    Writer,
    child_id,
    command_id,
    event_id,
    follows,
    result_id,
    seal,
    started_id,
    unseal,
)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def draft(
    *texts: str, run: str = "r", answers: str = ROOT, resumes: bool = False, origin: Origin | None = None
) -> Draft:
    """A decision that says some notes."""
    sayings = tuple(
        CODEC.saying(event_id(answers, "d", i), NoteAdded(text), cause=answers, cost=Cost(seconds=0.5) if i else None)
        for i, text in enumerate(texts)
    )
    writer = Writer("d", "1", "abc", "p/1")
    return Draft(run, "decide", "plugin", writer, answers, "d", sayings, seen=3, resumes=resumes, origin=origin)


def chain(*drafts: Draft, now: float = 100.0) -> list[Sealed]:
    head, found = Head(drafts[0].run), []
    for i, each in enumerate(drafts):
        found.append(seal(each, head, now + i))
        head = found[-1].head
    return found


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.floats(0, 2e9))
def test_what_was_sealed_is_what_is_read_back(texts: list[str], now: float) -> None:
    sealed = seal(draft(*texts), Head("r"), now)
    read = unseal(sealed.stored, 7)
    assert read.body == sealed.body or msgspec.json.encode(read.body) == msgspec.json.encode(sealed.body)
    assert (read.hash, read.stored, read.revision) == (sealed.hash, sealed.stored, 7)
    assert [e.payload.text for e in CODEC.commit(read).events] == texts  # type: ignore[union-attr]
    assert [e.seq for e in CODEC.commit(read).events] == list(range(1, len(texts) + 1))


@given(st.data())
@settings(max_examples=300)
def test_every_flipped_bit_is_caught(data: st.DataObject) -> None:
    stored = chain(draft("one", "two", origin=Origin("p", 3, "h")), draft("three"))[data.draw(st.integers(0, 1))].stored
    place, bit = data.draw(st.integers(0, len(stored) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(stored)
    flipped[place] ^= 1 << bit
    with pytest.raises(RecordError):
        unseal(bytes(flipped))


def test_every_single_byte_of_a_record_is_covered_by_its_hash() -> None:
    stored = chain(draft("one", "two"))[0].stored
    for place in range(len(stored)):
        with pytest.raises(RecordError):
            unseal(stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :])


@given(st.data())
def test_a_record_that_is_cut_or_lengthened_is_caught(data: st.DataObject) -> None:
    stored = chain(draft("one"))[0].stored
    for wrong in (stored[: data.draw(st.integers(0, len(stored) - 1))], stored + data.draw(st.binary(min_size=1))):
        with pytest.raises(RecordError):
            unseal(wrong)


def test_a_record_is_one_json_object_that_any_tool_reads() -> None:
    sealed = chain(draft("one"))[0]
    value = json.loads(sealed.stored)
    assert value["hash"] == sealed.hash and value["events"][0]["payload"]["text"] == "one" and value["v"] == FORMAT


def test_a_record_of_a_newer_format_is_refused_by_name() -> None:
    data = chain(draft("one"))[0].stored.replace(b'"v":1', b'"v":9', 1)[: -(len(',"hash":""}') + 64)]
    hash = hashlib.sha256(data).hexdigest().encode()
    with pytest.raises(RecordError, match="format 9, written by a newer gome"):
        unseal(data + b',"hash":"' + hash + b'"}')


def test_records_form_a_chain_without_gaps() -> None:
    head = Head("r")
    for sealed in chain(draft("a", "b"), draft("c"), draft("d", "e")):
        assert follows(sealed, head) == ""
        head = sealed.head
    assert head.seq == 5


def test_whatever_cannot_come_next_is_refused_with_its_reason() -> None:
    one, two, three = chain(draft("a"), draft("b"), draft("c"))
    assert "expected 2" in follows(three, one.head)
    assert "belongs to run r" in follows(two, Head("other"))
    assert "is not the hash" in follows(two, msgspec.structs.replace(one.head, hash="0" * 64))
    (elsewhere,) = chain(draft("x"))
    assert "expected 2" in follows(elsewhere, one.head)
    short = msgspec.structs.replace(one, body=msgspec.structs.replace(one.body, n=2))
    assert "claims 2 events and holds 1" in follows(short, Head("r"))


def test_the_id_of_a_record_is_known_before_it_is_sealed() -> None:
    d = draft("a", "b")
    for head, now in ((Head("r"), 1.0), (Head("r", 9, "h", 5.0, 2.0, 4), 100.0)):
        assert seal(d, head, now).id == d.id
    assert draft("a").id != d.id and draft("a", "b", run="q").id != d.id


# Time.


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1, max_size=8))
def test_time_never_goes_back_and_active_time_leaves_out_resumed_gaps(steps: list[tuple[float, bool]]) -> None:
    head, active = Head("r"), 0.0
    for now, resumes in steps:
        sealed = seal(draft("x", resumes=resumes), head, now)
        assert sealed.head.ts == max(now, head.ts)
        if head.seq and not resumes:
            active += sealed.head.ts - head.ts
        assert sealed.body.active == pytest.approx(active, abs=1e-4)
        assert sealed.body.active >= head.active
        head = sealed.head


def test_all_events_of_a_record_have_its_time() -> None:
    sealed = seal(draft("a", "b"), Head("r", 1, "h", 50.0), 20.0)
    assert {w.ts for w in sealed.body.events} == {50.0}


# Ids and draws.


@given(NAMES, NAMES, st.integers(0, 5))
def test_ids_are_computed_and_different_questions_have_different_ids(event: str, who: str, n: int) -> None:
    ids = [
        event_id(event, who, n),
        event_id(event, who, n + 1),
        event_id(who + "!", event, n),
        result_id(event),
        started_id(event, n),
        started_id(event, n, "failed"),
        child_id(event, who, n),
        command_id(event),
    ]
    assert len(set(ids)) == len(ids) and all(len(i) == 32 and int(i, 16) >= 0 for i in ids)
    assert event_id(event, who, n) == ids[0]


def test_ids_stay_what_they_have_always_been() -> None:
    # A recorded run holds these; a change here makes every old log diverge.
    assert event_id(ROOT, "client", 0) == "a3a2f0aa8ad847897868ab09d7731a76"
    assert result_id(ROOT) == "96b7efde973f7135017db69f1b33051b"
    assert Draw(7, ROOT).bits("x") == 14553447549539744078


@given(st.integers(), NAMES, NAMES)
def test_draws_are_a_function_of_seed_event_and_label(seed: int, event: str, label: str) -> None:
    draw, again = Draw(seed, event), Draw(seed, event)
    assert draw.bits(label) == again.bits(label)
    assert draw.bits(label) != draw.bits(label + "'") and draw.bits(label) != Draw(seed + 1, event).bits(label)
    assert 0 <= draw.uniform(label) < 1
    assert 0 <= draw.seed32(label) < 2**31


@given(st.integers(), st.integers(1, 1000))
def test_a_draw_below_n_is_below_n(seed: int, n: int) -> None:
    assert 0 <= Draw(seed, "e").below(n, "x") < n


@given(st.integers(), st.lists(st.integers(), max_size=20))
def test_shuffling_keeps_every_item(seed: int, items: list[int]) -> None:
    assert sorted(Draw(seed, "e").shuffled(items, "x")) == sorted(items)


def test_draws_are_spread_evenly() -> None:
    counts = [0] * 10
    for i in range(10_000):
        counts[Draw(1, f"e{i}").below(10, "x")] += 1
    assert all(850 < c < 1150 for c in counts), counts


def test_weights_are_followed_and_a_zero_is_never_drawn() -> None:
    counts = {"a": 0, "b": 0, "c": 0}
    for i in range(4_000):
        counts[Draw(1, f"e{i}").weighted(["a", "b", "c"], [3.0, 0.0, 1.0], "x")] += 1
    assert counts["b"] == 0 and 2850 < counts["a"] < 3150
    assert {Draw(1, f"e{i}").weighted(["a", "b"], [0.0, 0.0], "x") for i in range(50)} == {"a", "b"}


def test_drawing_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot draw below 0"):
        Draw(1, "e").choice([], "x")
