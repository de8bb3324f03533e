"""Prompts: what they say, word for word; what they may hold of the data; that material stays material; their size."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from gome.plugins.mutator.llm.prompting import block, coarse, middle, quoted, render, within
from tests.plugins.mutator.llm.prompts import SNAPSHOTS, cases, situation

VALUES: dict[str, Any] = {"sketch": "s", "program": "p", "problem": "f", "remark": "", "way": "whole", "seconds": ""}


@pytest.mark.parametrize("name", cases())
def test_a_prompt_is_word_for_word_the_one_that_was_agreed_on(name: str) -> None:
    assert cases()[name] + "\n" == (SNAPSHOTS / f"{name}.txt").read_text(), (
        "the prompt has changed; if it is meant, `python -m tests.plugins.mutator.llm.prompts` writes it anew"
    )


def test_there_is_no_snapshot_of_a_prompt_that_is_gone() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == set(cases())


@pytest.mark.parametrize(
    ("share", "shown", "hidden"),
    [
        ("none", ["What is a house worth?", "log_loss"], ["square metres", '"missing"', "`y`", "`big`", "r1,30.5"]),
        ("schema", ["square metres", '"missing"', "`y`", "`big`"], ["r1,30.5"]),
        ("sample", ["square metres", '"missing"', "`y`", "r1,30.5,north,1"], []),
    ],
)
@pytest.mark.parametrize("template", ["developer", "judge"])
def test_prompts_hold_no_more_of_the_data_than_is_shared(
    template: str, share: str, shown: list[str], hidden: list[str]
) -> None:
    text = situation("multiclass", share).system(template)
    assert [words for words in shown if words not in text] == []
    assert [words for words in hidden if words in text] == []


@pytest.mark.parametrize(
    ("limits", "gpu", "share"),
    [({}, False, False), ({"gpus": 1}, True, False), ({"gpus": 1, "gpu_share": 0.5}, True, True)],
)
def test_models_are_told_of_a_gpu_where_the_run_has_one_and_of_their_share(
    limits: dict[str, float], gpu: bool, share: bool
) -> None:
    plain = situation("binary", "schema")
    text = dataclasses.replace(plain, limits={**plain.limits, **limits}).system("developer")
    assert ("a GPU where the machine has one" in text, "GOME_GPU_SHARE" in text) == (gpu, share)


@settings(deadline=None)
@given(st.text(alphabet="`ab\n ", max_size=60))
def test_no_text_closes_the_fence_of_its_block(text: str) -> None:
    first, *inside, last = block(text, "x").split("\n")
    assert first == last + "x" and set(last) == {"`"}
    assert not any(last in line for line in inside)


@pytest.mark.parametrize("name", ["a`b", "two\nlines", "tab\t", "\u2028"])
def test_a_columns_name_does_not_leave_its_sentence(name: str) -> None:
    assert re.fullmatch(r'"[ -~]*"', quoted(name))
    assert quoted("plain name") == "`plain name`"


def test_a_name_that_a_template_uses_and_nobody_gives_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="way"):
        render("code", {"sketch": "", "program": "", "others": [], "remark": "", "seconds": ""})


def test_a_message_that_is_too_long_loses_its_oldest_faults_then_other_programs_then_the_middle_of_long_texts() -> None:
    faults, others = [f"fault {n} " + "x" * 300 for n in range(3)], [f"other {n} " + "y" * 300 for n in range(2)]
    values = {**VALUES, "sketch": "start " + "z" * 3000 + " end"}
    whole = within(99_999, "repair", values, earlier=faults)
    assert all(f"fault {n}" in whole for n in range(3))
    shorter = within(len(whole) - 100, "repair", values, earlier=faults)
    assert "fault 0" not in shorter and "fault 1" in shorter and "z" * 3000 in shorter
    least = within(2500, "repair", values, earlier=faults)
    assert len(least) <= 2500 and "fault 2" not in least and "start zzz" in least
    assert "zzz end" in least and "[… left out …]" in least
    both = within(99_999, "code", values, others=others)
    one = within(len(both) - 100, "code", values, others=others)
    assert "other 0" not in one and "other 1" in one


def test_the_program_to_change_is_never_cut() -> None:
    program = "p" * 5000
    assert program in within(1000, "repair", {**VALUES, "program": program, "problem": "f" * 4000})


@pytest.mark.parametrize(("text", "most"), [("x" * 100, 100), ("x" * 101, 100), ("ab" * 5000, 40)])
def test_the_middle_of_a_long_text_is_left_out(text: str, most: int) -> None:
    cut = middle(text, most)
    assert len(cut) <= most and cut.startswith(text[:5]) and cut.endswith(text[-5:])


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, ""), (0.034, "0.03"), (7.6, "8"), (42.0, "40"), (96.0, "100"), (1234.0, "1000")]
)
def test_durations_are_said_with_one_digit(seconds: float, said: str) -> None:
    assert coarse(seconds) == said
