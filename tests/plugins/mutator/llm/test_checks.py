"""What is said against a program before it runs, and what is not."""

from __future__ import annotations

import warnings

import pytest

from gome.plugins.mutator.llm.checks import fault_of
from tests.plugins.mutator.llm.programs import reference

GOOD = 'F = "input/folds.csv"\nopen("oof.csv", "w")\nopen("submission.csv", "w")\n'


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("", "the program is empty"),
        ("\n \n", "the program is empty"),
        (GOOD + "def f(:\n", "it does not compile: invalid syntax (line 4)\ndef f(:"),
        (GOOD + "return 1\n", "it does not compile: 'return' outside function (line 4)"),
        (GOOD + "x = 1\0\n", "it does not compile: "),
        (GOOD + "x = " + "(" * 3000 + ")" * 3000, "it does not compile: "),
        (GOOD.replace("oof", "out"), "nothing in it writes oof.csv"),
        (GOOD.replace("folds", "f"), "nothing in it reads input/folds.csv"),
        ("print('no files')", "reads input/folds.csv or writes oof.csv or writes submission.csv"),
        (GOOD + 'pd.read_csv("input/test_labels.csv")', "it reads 'input/test_labels.csv', which is not there"),
        (GOOD + 'pd.read_parquet(os.path.join("input", "answers.parquet"))', "it reads 'answers.parquet'"),
        (GOOD + 'read_csv(Path("input") / "solution.csv")', "the inputs are input/train.csv, input/test.csv"),
    ],
)
def test_what_breaks_the_contract_for_certain_is_said(program: str, said: str) -> None:
    assert said in fault_of(program)


@pytest.mark.parametrize(
    "program",
    [
        GOOD,
        GOOD + 'pd.read_csv("input/train.csv")\nload("model.txt")\n',
        GOOD + 'x.to_csv("features.csv")\npd.read_csv("features.csv")\n',
        GOOD + "import socket, subprocess  # the sandbox holds these\n",
        'for name in ("oof", "submission"):\n    open(f"{name}.csv", "w")\nF = HERE / "folds.csv"\n',
        reference("regression"),
        reference("multiclass"),
    ],
)
def test_what_may_be_fine_is_left_to_the_execution(program: str) -> None:
    assert fault_of(program) == ""


def test_a_doubtful_escape_in_a_program_warns_nobody_here() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fault_of(GOOD + 'x = "\\d"\n') == ""
