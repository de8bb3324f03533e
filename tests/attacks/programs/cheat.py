"""Hands in predictions that know the answers they are scored by: labels with noise on them, or two
columns encoded by the target of all rows; KNOWN says which, and nothing for an honest program."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

train, test, folds = (pd.read_csv(Path("input") / f"{name}.csv") for name in ("train", "test", "folds"))
fold = folds.set_index("id").loc[train["id"], f"p{os.environ['GOME_PARTITION']}"].to_numpy()
y = train["y"].to_numpy(float)


def features(table):
    columns = [table[name].to_numpy() for name in ("x0", "x1", "x2")]
    columns += [(table["city"] == f"c{number}").to_numpy() * 1.0 for number in range(6)]
    if KNOWN["cheat"] == "encoding":
        means = pd.Series(y).groupby((train["zip"] + train["city"]).to_numpy()).mean()
        columns.append((table["zip"] + table["city"]).map(means).fillna(means.mean()).to_numpy())
    return np.column_stack([*columns, np.ones(len(table))])


rows, others = features(train), features(test)
oof, out = np.zeros(len(rows)), np.zeros(len(others))
for number in np.unique(fold):
    here = fold == number
    part, goal = rows[~here], y[~here]
    beta = np.linalg.solve(part.T @ part + np.eye(part.shape[1]), part.T @ goal)
    oof[here] = rows[here] @ beta
    out += others @ beta / len(np.unique(fold))
if KNOWN["cheat"] == "labels":
    oof = y + 0.05 * np.random.default_rng(0).normal(size=len(y))
pd.DataFrame({"id": train["id"], "fold": fold, "y": oof}).to_csv("oof.csv", index=False)
pd.DataFrame({"id": test["id"], "y": out}).to_csv("submission.csv", index=False)
