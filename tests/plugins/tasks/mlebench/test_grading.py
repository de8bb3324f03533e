"""Files as submissions: five decimals, what is invalid and why, what does not exist, what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.competitions import competition
from gome.plugins.tasks.mlebench.graders import UNSUPPORTED
from gome.plugins.tasks.mlebench.grading import grade


def write(folder: Path, name: str, answers: str, public: str = "") -> Path:
    """Answers of a competition in a data folder."""
    path = folder / name / "prepared" / competition(name).answers
    path.parent.mkdir(parents=True)
    path.write_text(answers)
    return folder


Grader = Callable[[str], Any]


@pytest.fixture
def titanic(tmp_path: Path) -> Grader:
    """Grades a text as a submission to `spaceship-titanic` with three passengers."""
    data = write(tmp_path, "spaceship-titanic", "PassengerId,Transported\na,True\nb,False\nc,True\n")

    def graded(text: str, name: str = "submission.csv") -> Any:
        (tmp_path / name).write_text(text)
        return grade(competition("spaceship-titanic"), tmp_path / name, data)

    return graded


def test_a_score_has_five_decimals(titanic: Grader) -> None:
    assert titanic("PassengerId,Transported\nc,True\nb,False\na,False\n") == (0.66667, "", True)
    assert titanic("PassengerId,Transported\na,True\nb,False\nc,True\n", "X.CSV").score == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "PassengerId\na\nb\nc\n",
        "PassengerId,Transported\na,True\n",
        "PassengerId,Transported\na,x\nb,y\nc,1\n",
        "\x00",
    ],
)
def test_whatever_cannot_be_graded_is_invalid_and_says_why(titanic: Grader, text: str) -> None:
    found = titanic(text)
    assert (found.score, found.exists) == (None, True) and found.why


def test_a_file_that_is_no_table_is_told_from_values_that_are_wrong(titanic: Grader) -> None:
    assert "cannot be read as CSV: Error tokenizing data" in titanic('PassengerId,Transported\n"a,True\n').why
    assert titanic("PassengerId,Transported\na,x\nb,y\nc,1\n").why == "its values cannot be graded (ValueError)"


def test_a_file_that_is_missing_or_no_csv_does_not_exist(titanic: Grader, tmp_path: Path) -> None:
    assert titanic("PassengerId,Transported\na,True\nb,False\nc,True\n", "submission.txt")[0::2] == (None, False)
    for path in (None, tmp_path / "nowhere.csv", tmp_path):
        assert not grade(competition("spaceship-titanic"), path, tmp_path).exists


def test_why_tells_nothing_of_the_answers(tmp_path: Path) -> None:
    data = write(tmp_path, "AI4Code", "id,cell_order\nsecret1,hidden1 hidden2\n")
    (tmp_path / "s.csv").write_text("id,cell_order\nx,hidden2 y\n")
    found = grade(competition("AI4Code"), tmp_path / "s.csv", data)
    assert found.score is None and "secret" not in found.why and "hidden" not in found.why


def test_a_constant_correlation_is_valid_and_no_number(tmp_path: Path) -> None:
    name = "us-patent-phrase-to-phrase-matching"
    data = write(tmp_path, name, "id,score\na,0.0\nb,1.0\n")
    (tmp_path / "s.csv").write_text("id,score\na,0\nb,0\n")
    found = grade(competition(name), tmp_path / "s.csv", data)
    assert found.score is not None and math.isnan(found.score)


def test_what_cannot_be_graded_here_is_refused_with_the_reason(tmp_path: Path) -> None:
    for name, word in zip(UNSUPPORTED, ("pyquaternion", "pycocotools"), strict=True):
        with pytest.raises(UsageError, match=word):
            grade(competition(name), tmp_path / "s.csv", tmp_path)
    with pytest.raises(UsageError, match="not prepared"):
        grade(competition("spaceship-titanic"), tmp_path / "s.csv", tmp_path)


def test_answers_of_questions_are_lines_of_json(tmp_path: Path) -> None:
    span = {"start_token": -1, "end_token": -1}
    note = {"long_answer": span, "short_answers": [], "yes_no_answer": "NONE"}
    line = json.dumps({"example_id": "1", "annotations": [note]})
    data = write(tmp_path, "tensorflow2-question-answering", line + "\n")
    (tmp_path / "s.csv").write_text("example_id,PredictionString\n1_long,\n1_short,3:4\n")
    assert grade(competition("tensorflow2-question-answering"), tmp_path / "s.csv", data).score == 0.5
