"""From what gome's runs hand in to the CSV that a competition asks for: its ids, its columns, its order.

A run predicts one target; a competition with several gets one file of each. The result has the header and the rows of
the sample submission.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.competitions import Competition, prepared
from gome.plugins.tasks.mlebench.prepare import MADE, recipe_of, sample_of, targets_of
from gome.plugins.tasks.mlebench.reading import read_csv, read_table
from gome.plugins.tasks.mlebench.recipes import Recipe


def competition_submission(one: Competition, data: Path, files: Sequence[Path]) -> pd.DataFrame:
    """The submission from the `submission.csv` of one run per target. `UsageError` says what does not fit."""
    recipe = recipe_of(one)
    source = prepared(one, data)
    sample = sample_of(one, source)
    test = read_table(source / "public" / recipe.test)
    found: dict[str, pd.DataFrame] = {}
    for file in files:
        target, predicted = _predicted(one, recipe, sample, test, file)
        if target in found:
            raise UsageError(f"{file} predicts {target!r}, and so does another file; name one file per target")
        found[target] = predicted
    absent = [name for name in targets_of(recipe, sample) if name not in found]
    if absent:
        raise UsageError(f"nothing predicts {', '.join(absent[:6])}; run them with --target and name their files too")
    columns = pd.concat(list(found.values()), axis=1)
    order = _order(one, recipe, sample, test)
    filled = sample.copy()
    for name in columns.columns:
        filled[name] = columns[name].to_numpy()[order]
    return filled


def _order(one: Competition, recipe: Recipe, sample: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """The place in the test table of each row of the sample."""
    if len(sample) == len(test) and sample[recipe.key].tolist() == test[recipe.key].tolist():
        return np.arange(len(test))
    places = pd.Index(test[recipe.key])
    if not places.is_unique or len(sample) != len(test):
        raise UsageError(f"{one.id}: sample submission and test rows do not fit; prepare the competition again")
    found = places.get_indexer(pd.Index(sample[recipe.key]))
    if (found < 0).any():
        raise UsageError(f"{one.id}: the sample submission names rows that the test table lacks; prepare it again")
    return np.asarray(found)


def _predicted(
    one: Competition, recipe: Recipe, sample: pd.DataFrame, test: pd.DataFrame, file: Path
) -> tuple[str, pd.DataFrame]:
    """The target that a file predicts, and its column or columns in the order of the test rows."""
    try:
        given = read_csv(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}; name the submission.csv of a run") from error
    key = str(given.columns[0])
    if key not in (recipe.key, MADE) or len(given) != len(test):
        raise UsageError(
            f"{file} is no submission of a run of {one.id}: it has {len(given)} rows by {key!r}, {len(test)} by "
            f"{recipe.key!r} or {MADE!r} are expected"
        )
    if key == recipe.key:
        ids = pd.Index(given[key])
        places = ids.get_indexer(pd.Index(test[key])) if ids.is_unique else np.array([-1])
        if (places < 0).any():
            raise UsageError(f"{file} does not predict every row of {one.id}; is it of another competition?")
        given = given.iloc[places]
    else:
        given = given.sort_values(key)  # numbers were given in the order of the test rows
    names = [str(name) for name in given.columns[1:]]
    values = given[names].to_numpy(dtype=float)
    known = targets_of(recipe, sample)
    if recipe.kind == "multiclass":
        return known[0], _classes(recipe, sample, names, values, known[0])
    if len(names) != 1 or names[0] not in known:
        raise UsageError(f"{file} predicts {', '.join(names[:4])}, but {one.id} asks for {', '.join(known[:4])}")
    column = values[:, 0]
    if recipe.metric == "accuracy":
        return names[0], pd.DataFrame({names[0]: column >= 0.5})
    if recipe.within is not None:
        column = np.clip(column, *recipe.within)
    return names[0], pd.DataFrame({names[0]: np.round(column).astype(int) if recipe.whole else column})


def _classes(recipe: Recipe, sample: pd.DataFrame, names: list[str], values: np.ndarray, target: str) -> pd.DataFrame:
    """The most probable class, or probabilities that sum to 1 in the sample's columns (0 for a class never seen)."""
    if recipe.metric == "accuracy":
        picked = pd.Series([names[i] for i in values.argmax(axis=1)])
        return pd.DataFrame({target: pd.to_numeric(picked) if all(n.isdigit() for n in names) else picked})
    table = pd.DataFrame(values / values.sum(axis=1, keepdims=True), columns=names)
    wanted = [str(name) for name in sample.columns if name != recipe.key]
    if strange := [name for name in names if name not in wanted]:
        raise UsageError(f"the class {strange[0]!r} is no column of the sample submission")
    return table.reindex(columns=wanted, fill_value=0.0)
