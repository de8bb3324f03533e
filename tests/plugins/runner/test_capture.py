"""What is kept of a program's output: both ends, and of the middle the lines that report scores."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gome.plugins.runner.sandbox import scorelines
from gome.plugins.runner.sandbox.capture import Capture
from gome.plugins.runner.sandbox.scorelines import ScoreLines, pattern

REPORTS = [
    "Fold 3 rmse: 0.1234",
    "[200]\tvalid_0's auc: 0.912",
    "CV score = 0.88 +/- 0.01",
    "oof 0.4312",
    "val_loss=nan",
    "Mean Balanced Accuracy: .75",
    "quadratic kappa 0.61",
    "my_metric -> 3e-4",
]
OTHERS = [
    "epoch 17 of 30",
    "the values are 3 and 4",
    "scored well",
    "invalid option 7",
    "manifold 3",
    "fold by fold",
    "x" * 500 + " score 3",
]


@pytest.mark.parametrize("line", REPORTS)
def test_lines_with_a_metric_or_fold_and_a_number_report_a_score(line: str) -> None:
    found = ScoreLines(1000, ["my_metric"])
    found.take(b"before\n" + line.encode() + b"\nafter\n")
    assert found.found(b"") == ([line.encode()], False)


@pytest.mark.parametrize("line", OTHERS)
def test_other_lines_do_not(line: str) -> None:
    found = ScoreLines(1000)
    found.take(line.encode() + b"\n")
    assert found.found(b"") == ([], False)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "f1_macro"])
def test_metrics_are_known_with_spaces_and_dashes_for_underscores(metric: str) -> None:
    for name in (metric, metric.replace("_", " "), metric.replace("_", "-"), metric.upper()):
        assert pattern(()).search(f"{name}: 0.5".encode())


def kept(data: bytes, size: int, *, keep: int = 400) -> str:
    capture = Capture(Path("unused"), keep, 1 << 20)
    file = io.BytesIO()
    for at in range(0, len(data), size):
        capture._take(data[at : at + size], file)
    assert file.getvalue() == data and capture.total == len(data)
    assert capture.cut == (len(data) > keep)
    return capture.text()


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_what_is_kept_does_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    filler = b"".join(b"line %d of nothing\n" % i for i in range(40))
    data = filler + b"fold 1: 0.25\n" + filler + b"\rcv 0.5\r" + filler
    text = kept(data, size)
    assert text.startswith("line 0 of") and text.endswith("line 39 of nothing\n")
    middle = text[200:-200]
    assert "fold 1: 0.25\ncv 0.5\n[… end of them …]" in middle
    assert f"{len(data) - 400} bytes left out" in middle


@pytest.mark.parametrize("cut", range(185, 215))
def test_a_score_line_that_head_or_tail_cut_in_two_is_repeated_whole(cut: int) -> None:
    line = b"\nfold 1 score: 0.1234\n"
    data = b"x" * (cut - len(line)) + line + b"y" * 600 + line + b"z" * (cut - len(line))
    text = kept(data, 64)
    assert text.count("fold 1 score: 0.1234") >= 2


def test_the_room_for_score_lines_is_bounded_and_the_remark_says_that_there_may_be_more() -> None:
    text = kept(b"".join(b"score %d\n" % i for i in range(1000)), 4096)
    middle = text[200:-200]
    assert "score 25" in middle and "[… there may be more of them …]" in middle and len(text) < 600


def test_words_without_numbers_and_endless_output_cannot_buy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ScoreLines(1000)
    found.take(b"the score is unknown\n" * (scorelines.LOOKS + 1))
    assert found.full
    monkeypatch.setattr(scorelines, "SCANNED", 1000)
    found = ScoreLines(1000)
    found.take(b"x\n" * 600)
    found.take(b"score 1\n")
    assert found.found(b"") == ([], True)
