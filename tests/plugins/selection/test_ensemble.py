"""The policy `ensemble`: the published weights, what is handed in, and that its program writes the same bytes."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
from pathlib import Path

import pytest

from gome.events import (
    Artifact,
    AttemptAccepted,
    EffectFailed,
    ExecutionRequested,
    SelectionStarted,
    StopRequested,
    SubmissionScored,
    SubmissionSelected,
)
from gome.kernel.results import takes_tables
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.selection.reruns import plugin
from gome.plugins.selection.reruns.average import joined
from gome.plugins.selection.reruns.blend import weighted_mean
from gome.plugins.selection.reruns.ensemble import program, weights
from gome.plugins.selection.reruns.events import EnsembleRequested, SubmissionAveraged
from tests.plugins.driver import Driver, artifact, some_task

SCORES = {"a1": 0.93, "a2": 0.95, "a3": 0.94, "a4": 0.5}


def test_weights_as_published() -> None:
    assert weights([0.95, 0.94, 0.93], greater_is_better=True) == pytest.approx([0.504, 0.332, 0.164], abs=5e-4)
    assert weights([0.10, 0.11, 0.12], greater_is_better=False) == pytest.approx([0.531, 0.322, 0.147], abs=5e-4)


@pytest.mark.parametrize(("scores", "greater"), [([0.2, 0.0, -0.3], True), ([0.0, 0.1, 0.2], False)])
def test_scores_that_are_no_merits_leave_the_ranks(scores: list[float], greater: bool) -> None:
    assert weights(scores, greater_is_better=greater) == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def run_of(scores: dict[str, float], *, metric: str = "roc_auc", candidates: int = 3) -> Driver:
    """A run whose attempts were all accepted and whose final selection has begun."""
    run = Driver(plugin, seed=7)
    run.start(task=some_task(metric, greater=True), reruns={"policy": "ensemble", "candidates": candidates})
    for name, score in scores.items():
        run.attempt(name, score)
        run.say(AttemptAccepted(name))
    run.say(SelectionStarted("time"))
    return run


def outcome(run: Driver) -> SubmissionSelected:
    (found,) = run.all(SubmissionSelected)
    return found


def test_the_submissions_of_the_best_are_joined_by_the_weights_and_nothing_runs_again() -> None:
    run = run_of(SCORES)
    (wish,) = run.all(EnsembleRequested)
    assert wish.attempts == ("a2", "a3", "a1") and wish.columns == ("y",) and wish.id == "id"
    scored = {p.attempt: p for p in run.all(SubmissionScored)}
    assert wish.submissions == tuple(scored[name].outputs["submission.csv"] for name in wish.attempts)
    assert wish.oofs == tuple(scored[name].outputs["oof.csv"] for name in wish.attempts)
    assert wish.weights == pytest.approx([0.504, 0.332, 0.164], abs=5e-4)
    assert not [r for r in run.all(ExecutionRequested) if r.purpose == "rerun"]
    run.answer(wish, SubmissionAveraged(artifact("mean.sub"), artifact("mean.oof")))
    found = outcome(run)
    assert (found.attempt, found.submission, found.oof) == ("a2", artifact("mean.sub"), artifact("mean.oof"))
    assert found.score == pytest.approx(sum(w * SCORES[n] for w, n in zip(wish.weights, wish.attempts, strict=True)))
    assert found.reason == "the weighted mean of a2 (0.504), a3 (0.332), a1 (0.164)"
    assert [c.attempt for c in found.candidates] == ["a2", "a3", "a1"] and len(found.seeds) == 3
    assert all(f"hello from {name}" in str(found.program) for name in wish.attempts)


def test_no_more_are_joined_than_there_may_be_candidates() -> None:
    assert run_of(SCORES, candidates=2).last(EnsembleRequested).attempts == ("a2", "a3")


@pytest.mark.parametrize(
    ("scores", "metric", "why"),
    [({"a1": 0.9}, "roc_auc", "nothing to join"), (SCORES, "quadratic_kappa", "no sense under quadratic_kappa")],
)
def test_where_nothing_can_be_joined_the_best_is_handed_in_and_why_is_said(
    scores: dict[str, float], metric: str, why: str
) -> None:
    run = run_of(scores, metric=metric)
    assert not run.all(EnsembleRequested) and outcome(run).score == max(scores.values()) and why in outcome(run).reason


def test_files_that_cannot_be_joined_leave_the_best_one() -> None:
    run = run_of(SCORES)
    wish = next(e for e in run.log if isinstance(e.payload, EnsembleRequested))
    run.say(EffectFailed(wish.id, "EnsembleRequested", "selection", error="KeyError: '7'"))
    assert outcome(run).attempt == "a2" and "could not be joined" in outcome(run).reason


def test_whoever_stops_the_run_meanwhile_gets_the_best_one_at_once() -> None:
    run = run_of(SCORES)
    run.say(StopRequested(""))
    assert outcome(run).attempt == "a2" and "no time" in outcome(run).reason
    run.answer(run.last(EnsembleRequested), SubmissionAveraged(artifact("mean.sub"), artifact("mean.oof")))
    assert len(run.all(SubmissionSelected)) == 1


def test_rows_are_matched_by_id_and_what_is_no_prediction_is_the_first_files() -> None:
    files = ["id,fold,a,b\n007,0,0.1,0.9\n8,1,0.2,0.8\n", "id,fold,a,b\n8,5,0.4,0.6\n007,4,0.3,0.7\n"]
    found = weighted_mean(files, [0.75, 0.25], "id", ["a", "b"])
    rows = list(csv.DictReader(found.splitlines()))
    assert [(r["id"], r["fold"]) for r in rows] == [("007", "0"), ("8", "1")]
    assert [float(r["a"]) for r in rows] == pytest.approx([0.15, 0.25])
    assert [float(r["a"]) + float(r["b"]) for r in rows] == pytest.approx([1, 1])
    with pytest.raises(KeyError, match="9"):
        weighted_mean(["id,a\n9,1\n", "id,a\n8,1\n"], [0.5, 0.5], "id", ["a"])


MEMBER = r'''"""A program with what is hard to quote: \n, "quotes", a \" and an é."""
import csv, os

assert "GOME_SEED" not in os.environ and "GOME_PARTITION" not in os.environ
assert len("back\\slash \" \u00e9") == 14
with open("input/test.csv") as file:
    ids = [row["id"] for row in csv.DictReader(file)]
for name in ("submission.csv", "oof.csv"):
    with open(name, "w") as file:
        file.write("id,y\n" + "".join(f"{id},{(int(id) + FACTOR) / 3!r}\n" for id in ids))
'''


def folder_of(tmp_path: Path, texts: list[str]) -> tuple[Path, EnsembleRequested]:
    """A folder as it is handed in, with the program of an ensemble of these, and the wish behind it."""
    names = tuple(f"a{n}" for n in range(1, len(texts) + 1))
    shares = weights([0.9] * len(texts), greater_is_better=True)
    wish = EnsembleRequested(names, (), (), shares, "id", ("y",))
    (tmp_path / "input").mkdir()
    (tmp_path / "input/test.csv").write_text("id\n" + "".join(f"{n:03d}\n" for n in range(50)))
    (tmp_path / "best_program.py").write_text(program(wish, texts))
    return tmp_path, wish


def by_hand(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "best_program.py", *more]
    env = {"GOME_SEED": "99", "GOME_PARTITION": "4"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_program_runs_its_members_by_themselves_and_writes_the_bytes_that_were_handed_in(tmp_path: Path) -> None:
    texts = [f"FACTOR = {n}\n{MEMBER}" for n in (1, 5, 7)]
    texts[1] = texts[1].rstrip("\n") + '  # ends with a "quote"'
    folder, wish = folder_of(tmp_path, texts)
    done = by_hand(folder)
    assert done.returncode == 0, done.stderr
    store = MemoryArtifacts()
    files = []
    for factor in (1, 5, 7):
        data = ("id,y\n" + "".join(f"{n:03d},{(n + factor) / 3!r}\n" for n in range(50))).encode()
        files.append(Artifact(store.put(data), len(data)))
    mean = joined(
        store, EnsembleRequested(wish.attempts, tuple(files), tuple(files), wish.weights, wish.id, wish.columns)
    )
    assert (folder / "submission.csv").read_bytes() == store.get(mean.submission.digest)
    assert (folder / "oof.csv").read_bytes() == store.get(mean.oof.digest)
    assert sorted(p.name for p in folder.iterdir()) == ["best_program.py", "input", "oof.csv", "submission.csv"]


def test_the_members_stand_in_the_program_as_they_were_written(tmp_path: Path) -> None:
    texts = ['x = "\\"""\\\\"\r\n', MEMBER, 'y = """a"""', ""]
    folder, _ = folder_of(tmp_path, texts)
    tree = ast.parse((folder / "best_program.py").read_bytes())
    (found,) = [s.value for s in tree.body if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == "PROGRAMS"]
    assert list(ast.literal_eval(found).values()) == texts


def test_other_tables_are_taken_only_where_every_member_takes_them(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, ["FACTOR = 1\n" + MEMBER, "FACTOR = 2\n" + MEMBER])
    assert not takes_tables((folder / "best_program.py").read_text())
    done = by_hand(folder, "--test", "new.csv")
    assert done.returncode == 1 and "program a1 takes no --test" in done.stderr and "Traceback" not in done.stderr


def test_a_member_that_fails_ends_the_program_by_its_name(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, ["FACTOR = 1\n" + MEMBER, "raise SystemExit(3)\n"])
    done = by_hand(folder)
    assert done.returncode == 1 and "program a2 ended with code 3" in done.stderr
    assert not (folder / "submission.csv").exists()
