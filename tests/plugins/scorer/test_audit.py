"""The masked-fold audit with programs that are really executed: honest ones pass, leaks are caught."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gome.events import Artifact, MaskRequested, SubmissionRejected, SubmissionScored, TaskKind
from gome.plugins.scorer.metrics.audit import audit
from gome.plugins.scorer.metrics.mask import mask_fold
from gome.plugins.scorer.metrics.score import score
from tests.plugins.scorer.world import World, world

PROGRAM = """
import sys
from pathlib import Path
import numpy as np, pandas as pd

train, test, folds = (pd.read_csv(Path("input") / f"{n}.csv") for n in ("train", "test", "folds"))
fold = folds.set_index("id").loc[train["id"], "p0"].to_numpy()
classes = CLASSES
y = train["y"].to_numpy(float) if not classes else np.array([classes.index(v) for v in train["y"]])

def features(table):
    out = table[["x0", "x1", "x2"]].copy()
    if LEAK == "encoding":
        means = pd.Series(y).groupby(train["zip"].to_numpy()).mean()
        out["zip"] = table["zip"].map(means).fillna(means.mean())
    return out.assign(**{f"c{i}": (table["city"] == f"c{i}") * 1.0 for i in range(6)})

X, T = features(train), features(test)
width = max(1, len(classes)) if len(classes) != 2 else 1
oof, out = np.zeros((len(X), width)), np.zeros((len(T), width))
for k in np.unique(fold):
    here = fold == k
    A = np.column_stack([X, np.ones(len(X))]).astype(float)
    goal = y[:, None] if width == 1 else np.eye(width)[y]
    beta = np.linalg.solve(A[~here].T @ A[~here] + np.eye(A.shape[1]), A[~here].T @ goal[~here])

    def say(table):
        raw = np.column_stack([table, np.ones(len(table))]).astype(float) @ beta
        raw = np.clip(raw, 0.02, 0.98) if classes else raw
        return raw / raw.sum(axis=1, keepdims=True) if width > 1 else raw

    oof[here] = say(X[here])
    out += say(T) / len(np.unique(fold))
if LEAK == "labels":
    noise = np.random.default_rng(0).normal(size=len(y))
    oof[:, 0] = y + 0.05 * noise if not classes else np.clip(0.9 * y + 0.05 + 0.01 * noise, 0, 1)
names = classes if width > 1 else ["y"]
a, b = pd.DataFrame(oof, columns=names), pd.DataFrame(out, columns=names)
a.insert(0, "id", train["id"]); a.insert(1, "fold", fold); b.insert(0, "id", test["id"])
a.to_csv("oof.csv", index=False); b.to_csv("submission.csv", index=False)
"""


ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def execute(w: World, folder: Path, inputs: dict[str, Artifact], leak: str) -> dict[str, Artifact]:
    """Lay out the inputs, start the program, collect its files."""
    (folder / "input").mkdir(parents=True)
    for name, file in inputs.items():
        (folder / "input" / name).write_bytes(w.store.get(file.digest))
    text = PROGRAM.replace("CLASSES", repr(list(w.task.classes))).replace("LEAK", repr(leak))
    (folder / "program.py").write_text(text)
    subprocess.run([sys.executable, "program.py"], cwd=folder, env=ALONE, check=True, timeout=120)
    found = {}
    for name in ("oof.csv", "submission.csv"):
        data = (folder / name).read_bytes()
        found[name] = Artifact(w.store.put(data), len(data), name)
    return found


def audited(w: World, folder: Path, leak: str, fold: int = 1) -> SubmissionScored | SubmissionRejected:
    plain = {"train.csv": w.task.train, "test.csv": w.task.test, "folds.csv": w.folds}
    outputs = execute(w, folder / "full", plain, leak)
    claim = outputs["oof.csv"]
    assert isinstance(score(w.store, w.request(claim, outputs["submission.csv"]), 1), SubmissionScored)
    masked = mask_fold(w.store, MaskRequested(w.task, w.folds, 0, fold))
    again = execute(w, folder / "audit", masked.inputs, leak)
    return audit(w.store, w.request(claim, outputs=again, purpose="audit", masked_fold=fold, claim=claim), 1)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_an_honest_program_passes_its_audit(tmp_path: Path, kind: TaskKind) -> None:
    found = audited(world(kind, rows=600), tmp_path, "")
    assert isinstance(found, SubmissionScored), found
    assert found.masked_fold == 1 and found.comparisons[0].row_se > 0
    assert abs(found.comparisons[0].difference) < found.diagnostics["allowed"] * 2


@pytest.mark.parametrize("leak", ["labels", "encoding"])
@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_a_planted_leak_is_caught(tmp_path: Path, kind: TaskKind, leak: str) -> None:
    found = audited(world(kind, rows=600), tmp_path, leak)
    assert isinstance(found, SubmissionRejected) and found.layer == 2 and found.masked_fold == 1
    assert "labels are really hidden" in found.reason


def test_masking_hides_labels_and_moves_rows() -> None:
    w = world("regression")
    masked = mask_fold(w.store, MaskRequested(w.task, w.folds, 2, 3))
    train, test, folds, sample = (
        w.table(masked.inputs[n]) for n in ("train.csv", "test.csv", "folds.csv", "sample_submission.csv")
    )
    hidden = set(w.train["id"][w.numbers(2) == 3])
    assert set(train["id"]) == set(w.train["id"]) - hidden == set(folds["id"])
    assert list(test["id"]) == [*w.test["id"], *sorted(hidden)] == list(sample["id"])
    assert "y" not in test and not (folds["p2"] == 3).any()
    assert train.set_index("id").loc[train["id"][0]].to_dict() == w.train.set_index("id").loc[train["id"][0]].to_dict()


def test_masking_a_fold_that_is_not_there_is_an_error() -> None:
    w = world("regression")
    with pytest.raises(ValueError, match="no fold 9"):
        mask_fold(w.store, MaskRequested(w.task, w.folds, 0, 9))


def test_a_submission_without_the_masked_rows_fails_the_audit() -> None:
    w = world("regression")
    asked = w.request(w.oof(w.noisy(0.5)), purpose="audit", masked_fold=0, claim=w.oof(w.noisy(0.5)))
    found = audit(w.store, asked, 1)
    assert isinstance(found, SubmissionRejected) and found.layer == 2 and "lacks 80 of 280 ids" in found.reason


def test_without_a_claim_the_audit_alone_is_the_score() -> None:
    w = world("regression")
    hidden = w.train["id"][w.numbers() == 0]
    table = w.predictions([*w.test["id"], *hidden], w.noisy(0.1, rows=len(w.test) + len(hidden)))
    asked = w.request(w.oof(w.noisy(0.5)), w.put(table, "submission.csv"), purpose="audit", masked_fold=0)
    found = audit(w.store, asked, 1)
    assert isinstance(found, SubmissionScored) and not found.comparisons and found.fold_scores == (found.score,)
