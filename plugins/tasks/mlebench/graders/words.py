"""Graders of texts: distances between sequences, shared words, tags, orders of cells, answers to questions."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gome.plugins.tasks.mlebench.graders.checking import (
    Grade,
    InvalidSubmission,
    aligned,
    filled,
    need,
    same_length,
    texts,
)


def edit_distance(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Insertions, deletions and replacements between two sequences (Levenshtein), with Myers' bit vectors.

    A column of the table of distances is two whole numbers with a bit per item of `first`, so one step takes a few
    operations on them. After Hyyrö (2003), "A bit-vector algorithm for computing Levenshtein distance".
    """
    if not first or not second:
        return max(len(first), len(second))
    places: dict[Any, int] = {}
    for position, item in enumerate(first):
        places[item] = places.get(item, 0) | 1 << position
    every, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    up, down, distance = every, 0, len(first)
    for item in second:
        equal = places.get(item, 0)
        vertical = equal | down
        horizontal = (((equal & up) + up) ^ up) | equal
        rises = down | (~(horizontal | up) & every)
        falls = up & horizontal
        distance += bool(rises & last) - bool(falls & last)
        rises, falls = rises << 1 | 1, falls << 1
        up = (falls | ~(vertical | rises)) & every
        down = rises & vertical & every
    return distance


def mean_edit_distance(key: str, target: str) -> Grade:
    """Mean over rows of the distance in characters."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, (target,))
        pairs = zip(texts(theirs[target]), texts(mine[target]), strict=True)
        return float(np.mean([edit_distance(a, b) for a, b in pairs]))

    return grade


def words_edit_distance(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """`billion-word-imputation`: as above, but a missing sentence cannot be graded."""
    need(submission, ("id", "sentence"))
    if submission["sentence"].isna().any():
        raise InvalidSubmission("a sentence is missing")
    return mean_edit_distance("id", "sentence")(submission, answers)


def gestures(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Sum of distances between sequences of gestures, divided by the number of true gestures."""
    mine, theirs = aligned(submission, answers, "Id", ("Sequence",))
    truth, guessed = ([[int(word) for word in text.split()] for text in texts(t["Sequence"])] for t in (theirs, mine))
    return sum(map(edit_distance, truth, guessed)) / sum(map(len, truth))


def _overlap(first: str, second: str) -> tuple[int, int]:
    a, b = set(first.lower().split()), set(second.lower().split())
    return len(a & b), len(a | b)


def jaccard(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean over rows of the share of common words, 0 where both have none."""
    mine, theirs = aligned(submission, answers, "id", ("PredictionString",))
    pairs = zip(filled(mine["PredictionString"]), filled(theirs["PredictionString"]), strict=True)
    return float(np.mean([both / either if either else 0.0 for both, either in (_overlap(a, b) for a, b in pairs)]))


def tweets(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean over rows of the share of common words; a row where both have none makes the submission invalid."""
    mine, theirs = aligned(submission, answers, "textID", ("selected_text",))
    pairs = zip(filled(mine["selected_text"]), filled(theirs["selected_text"]), strict=True)
    shares = []
    for both, either in (_overlap(a, b) for a, b in pairs):
        if not either:
            raise InvalidSubmission("a text is empty where the true one is, too; their overlap is not defined")
        shares.append(both / either)
    return float(np.mean(shares))


def tags_f1(key: str, target: str) -> Grade:
    """F1 over all rows and tags together. Tags that occur in no answer cost nothing."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        mine, theirs = aligned(submission, answers, key, (target,))
        truth = [set(text.split()) for text in filled(theirs[target])]
        known = set[str]().union(*truth)
        guessed = [set(text.split()) & known for text in filled(mine[target])]
        hits = sum(len(a & b) for a, b in zip(truth, guessed, strict=True))
        total = sum(map(len, truth)) + sum(map(len, guessed))
        return 2 * hits / total if total else 0.0

    return grade


def mean_average_precision(actual: Sequence[set[str]], guessed: Sequence[Sequence[str]], k: int) -> float:
    """Mean of the precision at each hit among the first `k` guesses; a repeated guess is no second hit."""
    values = []
    for truth, guesses in zip(actual, guessed, strict=True):
        hits, total = 0, 0.0
        for rank, guess in enumerate(guesses[:k], 1):
            if guess in truth and guess not in guesses[: rank - 1]:
                hits += 1
                total += hits / rank
        values.append(total / min(len(truth), k) if truth else 0.0)
    return float(np.mean(values))


def map_at(k: int, key: str, target: str, *, exactly: bool = False, superset: bool = False) -> Grade:
    """Mean average precision of lists separated by single spaces. `superset` lets the submission have other keys."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        need(submission, (key, target), exactly=exactly)
        wanted, given = set(answers[key]), set(submission[key])
        if not (given >= wanted if superset else given == wanted):
            raise InvalidSubmission(f"the values of {key!r} are not those that are to be predicted")
        if superset:
            submission = submission[submission[key].isin(wanted)]
        else:
            same_length(submission, answers)
        mine, theirs = submission.sort_values(key), answers.sort_values(key)
        truth = [set(text.split(" ")) for text in texts(theirs[target])]
        guessed = [text.split(" ") for text in texts(mine[target])]
        shorter = min(len(truth), len(guessed))  # a customer that occurs twice shifts those that follow
        return mean_average_precision(truth[:shorter], guessed[:shorter], k)

    return grade


def inversions(ranks: Sequence[int]) -> int:
    """Pairs that stand in the wrong order."""
    found, before = 0, list[int]()
    for position, rank in enumerate(ranks):
        place = bisect(before, rank)
        found += position - place
        before.insert(place, rank)
    return found


def kendall_tau(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Orders of the cells of notebooks: 1 − 4 · inversions / Σ n (n − 1), pooled over notebooks."""
    need(submission, ("id", "cell_order"))
    mine, theirs = aligned(submission, answers, "id", ("cell_order",))
    wrong, most = 0, 0
    for given, truth in zip(texts(mine["cell_order"]), texts(theirs["cell_order"]), strict=True):
        cells, wanted = given.split(), truth.split()
        place = {cell: position for position, cell in reversed(list(enumerate(cells)))}
        if len(cells) != len(wanted) or any(cell not in place for cell in wanted):
            raise InvalidSubmission("each row of cell_order names the cells of its notebook, each once")
        wrong += inversions([place[cell] for cell in wanted])
        most += len(cells) * (len(cells) - 1)
    return 1 - 4 * wrong / most


def questions(submission: pd.DataFrame, answers: Sequence[dict[str, Any]]) -> float:
    """Micro F1 of "answered" against "answered rightly or answerable", long and short answers together.

    Of two classes the micro F1 is the share of rows where both agree.
    """
    if len(submission) != 2 * len(answers):
        raise InvalidSubmission(f"the submission has {len(submission)} rows, {2 * len(answers)} are expected")
    need(submission, ("example_id", "PredictionString"))
    notes = {str(sample["example_id"]): sample["annotations"][0] for sample in answers}
    valid: dict[str, Callable[[], list[Any]]] = {}
    for name, note in notes.items():
        valid[f"{name}_long"] = lambda note=note: _long(note)  # type: ignore[misc]
        valid[f"{name}_short"] = lambda note=note: _short(note)  # type: ignore[misc]
    keys = filled(submission["example_id"])
    if set(keys) != set(valid) or len(set(keys)) != len(keys):
        raise InvalidSubmission("there is one row NAME_long and one NAME_short for each example, and no other")
    agree = 0
    for key, text in zip(keys, filled(submission["PredictionString"]), strict=True):
        given, right = _answer(text.strip()), valid[key]()
        agree += bool(given) == (given in right if given else bool(right))
    return agree / len(keys)


def _answer(text: str) -> tuple[int, int] | str:
    if text.count(":") == 1:
        start, end = text.split(":")
        return int(start), int(end)
    if text not in ("YES", "NO", ""):
        raise InvalidSubmission("an answer is START:END, YES, NO or empty")
    return text


def _long(note: dict[str, Any]) -> list[Any]:
    long = note["long_answer"]
    return [] if long["start_token"] == -1 else [(int(long["start_token"]), int(long["end_token"]))]


def _short(note: dict[str, Any]) -> list[Any]:
    found: list[Any] = [(int(one["start_token"]), int(one["end_token"])) for one in note["short_answers"]]
    return found + ([note["yes_no_answer"]] if note["yes_no_answer"] != "NONE" else [])
