"""A program written by hand from nothing but the contract that prompts state, for each kind of target."""

from __future__ import annotations

REFERENCE = '''
"""Ridge regression on numbers and one-hot categories; nothing here knows a column's name."""
import json
import os

import numpy as np
import pandas as pd

KIND = "regression"
PARTITION = os.environ.get("GOME_PARTITION", "0")

header = pd.read_csv("input/sample_submission.csv", dtype=str, nrows=0).columns
ID, PREDICTIONS = header[0], list(header[1:])
columns = {name: pd.read_csv(f"input/{name}.csv", nrows=0).columns for name in ("train", "test")}
(TARGET,) = set(columns["train"]) - set(columns["test"])
texts = {ID: str} if KIND == "regression" else {ID: str, TARGET: str}
train = pd.read_csv("input/train.csv", dtype=texts, keep_default_na=True)
test = pd.read_csv("input/test.csv", dtype={ID: str})
folds = pd.read_csv("input/folds.csv", dtype={ID: str}).set_index(ID).loc[train[ID], f"p{PARTITION}"].to_numpy()
if KIND == "regression":
    y, classes = train[TARGET].to_numpy(float), []
else:
    labels = pd.read_csv("input/train.csv", dtype=str, keep_default_na=False, usecols=[TARGET])[TARGET]
    classes = sorted(set(labels)) if KIND == "binary" else PREDICTIONS
    y = labels.map({name: number for number, name in enumerate(classes)}).to_numpy()


def matrices(rows, *others):
    """Numbers and categories as seen in `rows`, applied to each table."""
    features = [c for c in rows.columns if c not in (ID, TARGET)]
    numbers = [c for c in features if pd.api.types.is_numeric_dtype(rows[c])]
    middle, spread = rows[numbers].median(), rows[numbers].std().replace(0, 1).fillna(1)
    levels = [(c, v) for c in features if c not in numbers for v in sorted(rows[c].dropna().unique())[:20]]
    for table in (rows, *others):
        parts = [np.ones((len(table), 1)), ((table[numbers].fillna(middle) - middle) / spread).to_numpy(float)]
        parts += [(table[c] == v).to_numpy(float)[:, None] for c, v in levels]
        yield np.hstack(parts)


oof, predicted, scores = np.zeros((len(train), len(PREDICTIONS))), [], []
for fold in np.unique(folds):
    fitted, held = train[folds != fold], train[folds == fold]
    X, X_held, X_test = matrices(fitted, held, test)
    wanted = np.log1p(y[folds != fold])[:, None] if KIND == "regression" else np.eye(len(classes))[y[folds != fold]]
    weights = np.linalg.solve(X.T @ X + np.eye(X.shape[1]), X.T @ wanted)
    answers = [part @ weights for part in (X_held, X_test)]
    if KIND == "regression":
        answers = [np.expm1(part) for part in answers]
        scores.append(float(np.mean(np.abs(answers[0][:, 0] - y[folds == fold]))))
    else:
        answers = [part / part.sum(axis=1, keepdims=True) for part in (part.clip(0.01, 0.99) for part in answers)]
        scores.append(float(np.mean(answers[0].argmax(axis=1) == y[folds == fold])))
        answers = [part[:, 1:] if KIND == "binary" else part for part in answers]
    oof[folds == fold] = answers[0]
    predicted.append(answers[1])
    print(f"fold {fold}: {scores[-1]:.4f}")

table = pd.DataFrame({ID: train[ID], "fold": folds})
table[PREDICTIONS] = oof
table.to_csv("oof.csv", index=False)
table = pd.DataFrame({ID: test[ID]})
table[PREDICTIONS] = np.mean(predicted, axis=0)
table.to_csv("submission.csv", index=False)
with open("diagnostics.json", "w") as file:
    json.dump({"fold_scores": scores}, file)
'''.lstrip()


def reference(kind: str) -> str:
    """The program for a kind of target."""
    return REFERENCE.replace('KIND = "regression"', f'KIND = "{kind}"')


def broken_syntax(program: str) -> str:
    """It does not compile."""
    return program.replace("def matrices(rows, *others):", "def matrices(rows, *others)")


def crashing(program: str) -> str:
    """It ends with an exception once it has read its tables."""
    return program.replace("oof, predicted, scores =", "train['no such column']\noof, predicted, scores =")


def lacking_a_column(program: str) -> str:
    """It forgets the folds of its out-of-fold predictions."""
    return program.replace('{ID: train[ID], "fold": folds}', "{ID: train[ID]}")


def fenced(program: str) -> str:
    """A reply that holds a whole program."""
    return f"Here it is.\n```python\n{program}```\n"
