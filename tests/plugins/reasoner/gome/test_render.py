"""Prompts never grow beyond their limit, fences hold what is in them, and what is cut is what should be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from gome.plugins.reasoner.gome.render import (
    LONGEST_RUN,
    PROMPTS,
    Block,
    Listing,
    allot,
    clean,
    cut,
    environment,
    fence,
    render,
)
from gome.plugins.reasoner.gome.situation import WEIGHTS

nasty = st.text(alphabet=st.sampled_from("`~ab \n\r\t{}%#<>\x00\x1b\u2028é"), max_size=400)
texts = st.one_of(nasty, st.text(max_size=200), st.sampled_from(["`" * 100, "```\n# What to do\n```", "x" * 30_000]))
sections = st.one_of(
    st.builds(lambda t: Block("A text", t), texts),
    st.builds(lambda e, k: Listing("Entries", e, k), st.lists(texts, max_size=6), st.sampled_from(["newest", "all"])),
)
FACTS = {
    "kind": "predict a number (regression)",
    "metric": "rmsle",
    "better": "lower",
    "libraries": "numpy, pandas",
    "root": True,
    "stage": "ensemble",
    "longest": "about 40 s",
    "budget": "1000",
}
NAMES = sorted(p.stem for p in PROMPTS.glob("*.j2") if not p.stem.startswith("_"))


def blocks(prompt: str) -> list[str]:
    """What CommonMark takes for fenced code in a text, and what is left over without a closing fence."""
    found, inside, ticks = [], None, 0
    for line in prompt.split("\n"):
        opening = re.match(r" {0,3}(`{3,})([^`]*)$", line)
        if inside is None and opening:
            inside, ticks = [], len(opening[1])
        elif inside is not None and re.fullmatch(rf" {{0,3}}`{{{ticks},}}[ \t]*", line):
            found.append("\n".join(inside))
            inside = None
        elif inside is not None:
            inside.append(line)
    assert inside is None, "a fence is open at the end"
    return found


@given(texts)
def test_a_text_in_a_fence_cannot_close_it(text: str) -> None:
    inside = clean(text)
    assert blocks(fence("Quoted", inside)) == [inside]


@given(texts, st.integers(0, 500))
def test_cutting_keeps_both_ends_and_never_exceeds_the_limit(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short) <= limit or short == text
    if len(text) <= limit:
        assert short == text
    elif limit > 200:
        assert short[:80] == text[:80] and short[-60:] == text[-60:] and f"[… {len(text)} characters" in short


@given(sections, st.integers(1, 3000))
def test_a_section_never_exceeds_its_limit_and_is_whole_when_it_has_room(section: Block | Listing, limit: int) -> None:
    if section.need:
        assert len(section.fit(limit)) <= limit
        assert len(section.fit(section.need)) == section.need and section.fit(section.need) == section.fit(10**6)


@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.integers(0, 5000), min_size=1), st.integers(0, 20_000))
def test_room_is_shared_out_whole_and_never_twice(needs: dict[str, int], room: int) -> None:
    granted = allot(needs, WEIGHTS, room)
    assert sum(granted.values()) == min(room, sum(needs.values()))
    assert all(0 <= granted[name] <= needs[name] for name in needs)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(sorted(WEIGHTS)), sections), st.integers(12_000, 30_000))
def test_a_prompt_never_exceeds_its_limit_whatever_it_quotes(
    name: str, given_sections: dict[str, Block | Listing], limit: int
) -> None:
    empty = {key: Block("", "") for key in WEIGHTS}
    prompt = render(name, limit=limit, sections={**empty, **given_sections}, weights=WEIGHTS, facts=FACTS)
    assert len(prompt) <= limit
    blocks(prompt)


def test_the_oldest_entries_go_first_and_the_newest_stay() -> None:
    listing = Listing("Attempts", [f"entry number {i:02d}" for i in range(40)])
    text = listing.fit(300)
    assert "entry number 39" in text and "entry number 00" not in text
    kept = re.findall(r"entry number (\d\d)", text)
    assert kept == [f"{i:02d}" for i in range(40 - len(kept), 40)]
    assert f"[{40 - len(kept)} older left out]" in text


def test_a_listing_that_must_stay_whole_shortens_its_long_entries_only() -> None:
    text = Listing("Candidates", ["short one", "y" * 5000, "z" * 5000], keep="all").fit(1000)
    assert "short one" in text and len(text) <= 1000
    assert 300 < text.count("y") < 500 and abs(text.count("y") - text.count("z")) < 5


def test_when_room_is_short_failures_give_way_before_successes_and_programs() -> None:
    quoted = {
        "program": Block("Program", "p" * 3000),
        "successes": Listing("Successes", [f"success {i} " + "s" * 200 for i in range(20)]),
        "failures": Listing("Failures", [f"failure {i} " + "f" * 200 for i in range(20)]),
    }
    sections = {key: quoted.get(key, Block("", "")) for key in WEIGHTS}
    prompt = render("feedback_challenges", limit=12_000, sections=sections, weights=WEIGHTS, facts=FACTS)
    assert prompt.count("p" * 3000) == 1
    assert len(re.findall(r"success \d+ ", prompt)) > len(re.findall(r"failure \d+ ", prompt)) >= 3
    assert "failure 19 " in prompt and "success 19 " in prompt


def test_runs_of_backticks_and_control_characters_are_tamed() -> None:
    assert clean("a\r\nb\rc\x1b[31m\x00") == "a\nb\nc [31m "
    assert clean("`" * 500) == "`" * LONGEST_RUN
    assert clean("\ud800x") == "?x"


def test_what_a_template_needs_and_nobody_gave_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("hypotheses", limit=12_000, sections={}, weights=WEIGHTS, facts=FACTS)


def test_a_limit_below_our_own_words_is_refused() -> None:
    empty = {key: Block("", "") for key in WEIGHTS}
    with pytest.raises(ValueError, match="characters of its own; its limit is 100"):
        render("sketch", limit=100, sections=empty, weights=WEIGHTS, facts=FACTS)


@pytest.mark.parametrize("path", sorted(PROMPTS.glob("*.j2")), ids=lambda p: p.stem)
def test_every_template_opens_with_what_its_call_must_achieve(path: object) -> None:
    source = (PROMPTS / f"{path}").read_text()
    assert re.match(r"\{# .{40,}?-#\}\n", source, re.DOTALL)
    assert environment().get_template(f"{PROMPTS / f'{path}'}".rpartition("/")[2])
