"""Members: one model with everything in front of it, fitted fold by fold."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from gome.plugins.mutator.pipeline.fragments.constants import DEBUG, KIND, TEXT
from gome.plugins.mutator.pipeline.fragments.matrices import Matrix, stack_blocks
from gome.plugins.mutator.pipeline.fragments.metrics import both_columns
from gome.plugins.mutator.pipeline.fragments.targets import plain_target

Call = tuple[Callable[..., Any], dict[str, Any]]


@dataclass(frozen=True)
class Member:
    """Steps on all tables, steps fitted per fold, columns to a matrix, target transform, model: functions, options."""

    key: str
    family: str
    model: Call
    categories: Call
    numbers: Call
    steps: list[Call] = field(default_factory=list)
    fitted: list[Call] = field(default_factory=list)
    reduce: list[Call] = field(default_factory=list)
    target: Callable[..., Any] = plain_target
    bag: int = 1
    calibrate: Callable[..., Any] | None = None


def make_matrix(
    member: Member, table: pd.DataFrame, blocks: list[Any], rows: list[np.ndarray], y: np.ndarray, seed: int
) -> Matrix:
    """Return the matrix of some row sets, fitted on the first of them, whose (transformed) target is y."""
    tables = [table.iloc[r].reset_index(drop=True) for r in rows]
    for step, options in member.fitted:
        step(tables, y, seed, **options)
    shown = [name for name in tables[0] if name not in TEXT] if TEXT else list(tables[0])
    words = [name for name in shown if tables[0][name].dtype == object]
    numeric = [name for name in shown if name not in words]
    found = member.categories[0]([t[words] for t in tables], y, seed, **member.categories[1])
    values = [t[numeric].to_numpy(float) for t in tables]
    if not found.categorical and not sparse.issparse(found.parts[0]):
        # Mean targets are numbers like others: they are scaled with them.
        values = [np.hstack(both) for both in zip(values, found.parts, strict=True)]
        numeric, found = numeric + found.names, Matrix([part[:, :0] for part in found.parts], [])
    values = [np.where(np.isfinite(v), v, np.nan) for v in values]
    numbers = member.numbers[0](values[0], values[1:], **member.numbers[1])
    terms = [[block[r] for r in rows] for block, _ in blocks]
    names = numeric + found.names + [name for _, names in blocks for name in names]
    marked = [len(numeric) + place for place in found.categorical]
    matrix = Matrix(stack_blocks([numbers, found.parts, *terms]), names, marked)
    for step, options in member.reduce:
        matrix = step(matrix, y, seed, **options)
    return matrix


def temperature(
    oof: np.ndarray, test: np.ndarray, y: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Rescale log probabilities by one number, chosen on the other folds (for test rows on all)."""

    def scaled(p: np.ndarray, heat: float) -> np.ndarray:
        found = both_columns(p) ** (1 / heat)
        found /= found.sum(axis=1, keepdims=True)
        return found[:, 1:2] if KIND == "binary" else found

    def best(p: np.ndarray, labels: np.ndarray) -> float:
        heats = [float(h) for h in np.geomspace(0.3, 4.0, 40)]
        row = np.arange(len(labels))
        return min(heats, key=lambda h: -np.mean(np.log(np.clip(both_columns(scaled(p, h))[row, labels], 1e-15, 1))))

    out = np.zeros_like(oof)
    for k in np.unique(fold):
        held = fold == k
        out[held] = scaled(oof[held], best(oof[~held], y[~held]))
    heat = best(oof, y)
    return out, scaled(test, heat), heat


def fit_fold(member: Member, matrix: Matrix, goal: np.ndarray, seed: int) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Fit the model(s) of one fold; return predictions (for 500 or so of the training rows), and what the first model
    said."""
    said: dict[str, Any] = {}
    options, bag = dict(member.model[1]), 1 if DEBUG else member.bag
    asked = [matrix.parts[0][:: 1 + len(goal) // 500], *matrix.parts[1:]]
    sums: list[Any] = [0.0] * len(asked)
    for turn in range(bag):
        predict, found = member.model[0](matrix.parts[0], goal, seed + 7 * turn, matrix, **options)
        options |= found.pop("reuse", {})
        said = said or found
        sums = [before + predict(rows) for before, rows in zip(sums, asked, strict=True)]
    return [np.nan_to_num(both / bag) for both in sums], said


def fit_member(
    member: Member, table: pd.DataFrame, y: np.ndarray, fold: np.ndarray, seed: int, score: Any
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return out-of-fold predictions, test predictions (mean over the fold models) and diagnostics.

    The first len(y) rows of the table are training rows, the others test rows.
    """
    begun, table = time.perf_counter(), table.copy()
    blocks: list[Any] = []
    for step, options in member.steps:
        blocks += step(table, **options) or []
    folds = [int(k) for k in np.unique(fold)]
    oof, test = np.zeros(0), np.zeros(0)
    info: dict[str, Any] = {"seconds": [], "train_scores": [], "best_iterations": [], "importance": {}}
    for k in folds:
        inside, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        fold_seed = (seed * 7919 + k * 101 + 1) % 2**31
        if KIND == "regression":
            goal, inverse = member.target(y[inside])
        else:
            goal = y[inside]
        matrix = make_matrix(member, table, blocks, [inside, held, np.arange(len(y), len(table))], goal, fold_seed)
        made, said = fit_fold(member, matrix, goal, fold_seed)
        if KIND == "regression":
            made = [inverse(np.clip(p[:, 0], goal.min(), goal.max()))[:, None] for p in made]
        if not oof.size:
            oof, test = np.zeros((len(y), made[1].shape[1])), np.zeros_like(made[2])
        oof[held], test = made[1], test + made[2]
        info["train_scores"].append(score(y[inside][:: 1 + len(inside) // 500], made[0]))
        info["best_iterations"] += [said.pop("best_iteration")] if "best_iteration" in said else []
        for name, share in said.pop("importance", {}).items():
            info["importance"][name] = info["importance"].get(name, 0.0) + float(share) / len(folds)
        info |= said
        info["seconds"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
    test = test / len(folds)
    if member.calibrate:
        oof, test, info["temperature"] = member.calibrate(oof, test, y, fold)
    info["importance"] = dict(sorted(info["importance"].items(), key=lambda pair: (-pair[1], pair[0]))[:20])
    return oof, test, info | {"columns": len(matrix.names), "train_score": float(np.mean(info["train_scores"]))}
