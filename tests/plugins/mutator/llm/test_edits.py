"""Patches: exact, in order, once; anything else is an error that its author can act on."""

from __future__ import annotations

import pytest

from gome.plugins.mutator.llm.edits import Edit, EditError, Patch, apply

PROGRAM = "a = 1\nb = 2\nprint(a + b)\nprint(a)\n"


@pytest.mark.parametrize(
    ("edits", "after"),
    [
        ([Edit("a = 1", "a = 3")], "a = 3\nb = 2\nprint(a + b)\nprint(a)\n"),
        ([Edit("b = 2\n", "")], "a = 1\nprint(a + b)\nprint(a)\n"),
        ([Edit("a = 1", "c = 1"), Edit("c = 1", "c = 9")], "c = 9\nb = 2\nprint(a + b)\nprint(a)\n"),
        ([Edit("b = 2\nprint(a + b)", "pass")], "a = 1\npass\nprint(a)\n"),
    ],
)
def test_edits_are_made_one_after_the_other(edits: list[Edit], after: str) -> None:
    assert apply(PROGRAM, Patch(tuple(edits)).edits) == after


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([], "there are no edits"),
        ([Edit("", "x")], "edit 1: the text to find is empty"),
        ([Edit("  \n", "x")], "edit 1: the text to find is empty"),
        ([Edit("c = 1", "x")], "edit 1: the text to find, 'c = 1', does not occur"),
        ([Edit("a = 1", "a = 2"), Edit("a = 1", "x")], "edit 2: the text to find, 'a = 1', does not occur"),
        ([Edit("print(", "x")], "occurs 2 times; add lines around it"),
        ([Edit("A = 1", "x")], "does not occur"),
    ],
)
def test_a_patch_that_does_not_fit_exactly_is_refused_with_the_reason(edits: list[Edit], said: str) -> None:
    with pytest.raises(EditError, match=said.replace("(", r"\(")):
        apply(PROGRAM, edits)


def test_a_long_text_that_is_not_found_is_quoted_in_part() -> None:
    with pytest.raises(EditError) as error:
        apply(PROGRAM, [Edit("x" * 5000, "")])
    assert len(str(error.value)) < 300
