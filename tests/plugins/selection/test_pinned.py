"""A program that goes by its environment, as it is handed in: the same file, with the seed and partition that won."""

from __future__ import annotations

import ast

import pytest

from gome.plugins.selection.reruns.candidates import pinned

PINS = 'import os\n\nos.environ.setdefault("GOME_SEED", "7")\nos.environ.setdefault("GOME_PARTITION", "2")\n'


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        ("", "print(1)\n"),
        ("", "# a remark\nx = 1\n"),
        ('"""What it does,\nat length."""\n', "import json\n"),
        ('"""Doc."""\nfrom __future__ import annotations\n', "import json\n"),
        ("from __future__ import annotations\nfrom __future__ import division\n", "print(1)\n"),
        ('"""Doc."""\n', ""),
        ("", ""),
    ],
)
def test_seed_and_partition_stand_behind_what_must_come_first(head: str, rest: str) -> None:
    text = pinned(head + rest, 7, 2)
    assert text == head + PINS + rest
    compile(text, "program.py", "exec")
    assert ast.get_docstring(ast.parse(text)) == ast.get_docstring(ast.parse(head + rest))


def test_a_program_without_a_last_newline_stays_whole() -> None:
    assert pinned('"""Doc."""', 7, 2) == '"""Doc."""\n' + PINS
    assert pinned("print(1)", 7, 2) == PINS + "print(1)"


def test_a_text_that_is_no_python_is_left_alone() -> None:
    assert pinned("no python", 7, 2) == "no python"
