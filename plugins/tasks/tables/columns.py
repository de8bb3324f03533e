"""Which column is what in a person's tables: the checks that refuse, the id that is found, the columns left out.

Each complaint names the option or table, the column, and what to try. Splitting and writing are `prepare.py`'s.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pandas as pd

from gome.kernel.errors import UsageError
from gome.kernel.tasks import TaskOptions
from gome.plugins.tasks.writing import whole

FEWEST = 40
"""Fewer rows with a target than this are no basis for folds and a held-out part."""
IDS = ("id", "row_id", "rowid", "index")
"""Names (in lower case) under which an id is looked for when none is named."""


def missing_column(name: str, flag: str, present: list[str], where: Path) -> UsageError:
    """The complaint about a column that is not there, with the nearest name."""
    near = difflib.get_close_matches(name, present, n=1, cutoff=0.5) or [
        other for other in present if other.lower() == name.lower()
    ]
    hint = f"did you mean {near[0]!r}?" if near else "it has " + _some(present)
    return UsageError(f"{flag}: {where} has no column {name!r}; {hint}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)} columns)" if len(names) > 8 else "")


def require(train: pd.DataFrame, options: TaskOptions, where: Path) -> None:
    """Refuse options that name columns which are not there, or one column for two purposes."""
    present = list(train.columns)
    named = [("--target", options.target), ("--id", options.id), ("--group", options.group)]
    named += [("--time-column", options.time_column), *(("--drop", name) for name in options.drop)]
    for flag, name in named:
        if name and name not in present:
            raise missing_column(name, flag, present, where)
    for flag, name in named[1:]:
        if name == options.target:
            raise UsageError(f"{flag} names {name!r}, which is the target; leave it out")
    for flag, name in named[1:4]:
        if name and name in options.drop:
            raise UsageError(f"{flag} and --drop both name {name!r}; leave one of them out")
    if options.id and options.id in (options.group, options.time_column):
        raise UsageError(f"--id names {options.id!r}, which is also group or time column; leave one of them out")
    if options.holdout is not None and not 0 < options.holdout <= 0.9:
        raise UsageError(f"the share held out must lie above 0 and up to 0.9, not {options.holdout:g}")
    for flag, name in (("--group", options.group), ("--time-column", options.time_column)):
        if name and train[name].isna().any():
            rows = int(train[name].isna().sum())
            raise UsageError(f"{flag}: column {name!r} of {where} is missing in {rows:,} rows; fill or remove those")


def with_target(train: pd.DataFrame, target: str, where: Path, notices: list[str]) -> pd.DataFrame:
    """Return the rows that have a target, the target as whole numbers where it can be; too few are refused."""
    absent = train[target].isna()
    if absent.all():
        raise UsageError(f"target {target!r} of {where} is missing in every row; name another --target or fill it")
    if absent.any():
        notices.append(
            f"{int(absent.sum()):,} of {len(train):,} rows have no {target!r} (empty, NA, None …) and are left out"
        )
        train = train[~absent].reset_index(drop=True)
    if len(train) < FEWEST:
        raise UsageError(f"{where} has {len(train)} rows with a target, at least {FEWEST} are needed; add rows")
    values = whole(train[target])
    if pd.api.types.is_float_dtype(values) and bool(((values % 1) == 0).all()) and bool((values.abs() < 2**53).all()):
        values = values.astype("int64")
    train[target] = values
    return train


def matching(train: pd.DataFrame, test: pd.DataFrame, options: TaskOptions, where: Path) -> pd.DataFrame:
    """Refuse a test table that lacks columns or holds texts where the training table has numbers."""
    allowed = {options.target, options.id, options.group, *options.drop}
    lacking = [name for name in train.columns if name not in test.columns and name not in allowed]
    if lacking:
        if len(lacking) == 1:
            raise missing_column(lacking[0], "--test", list(test.columns), where)
        raise UsageError(
            f"--test: {where} lacks {len(lacking)} columns of the training table: {_some(lacking)}; add or --drop"
        )
    if options.id and options.id not in test.columns:
        raise missing_column(options.id, "--id", list(test.columns), where)
    for name in train.columns.intersection(test.columns):
        numeric = pd.api.types.is_numeric_dtype(train[name])
        if numeric and not pd.api.types.is_numeric_dtype(test[name]) and name not in allowed:
            bad = pd.to_numeric(test[name], errors="coerce").isna() & test[name].notna()
            if bad.any():
                row = int(bad.to_numpy().argmax())
                raise UsageError(
                    f"--test: column {name!r} of {where} holds {test[name].iloc[row]!r} (line {row + 2}), in the "
                    f"training table it is a number; correct it or --drop {name}"
                )
    return test


def find_id(
    train: pd.DataFrame, test: pd.DataFrame | None, features: list[str], options: TaskOptions, notices: list[str]
) -> str:
    """Return the name of the id column: the one named, else a unique one called id, else "" (to be made)."""
    if options.id:
        for frame, which in ((train, "training"), (test, "test")):
            if frame is None:
                continue
            if frame[options.id].isna().any():
                raise UsageError(
                    f"--id: column {options.id!r} is missing in some rows of the {which} table; leave --id out"
                )
            twice = frame[options.id][frame[options.id].duplicated()]
            if len(twice):
                raise UsageError(
                    f"--id: {options.id!r} is not unique in the {which} table ({twice.iloc[0]!s} occurs more than "
                    f"once); leave --id out and rows are numbered, or is it the --group?"
                )
        return options.id
    for name in features:
        if name.lower() in IDS and name not in (options.group, options.time_column):
            frames = [frame for frame in (train, test) if frame is not None]
            if all(name in frame and frame[name].notna().all() and frame[name].is_unique for frame in frames):
                notices.append(f"id {name!r}: unique, taken as the id and not as a feature")
                return name
    return ""


def useful(train: pd.DataFrame, features: list[str], time_column: str, notices: list[str]) -> list[str]:
    """Leave out columns that are always missing or number the rows, with a notice each."""
    kept = []
    for name in features:
        numbered = name.lower().startswith("unnamed:") and pd.api.types.is_integer_dtype(train[name])
        if numbered and train[name].is_unique:
            notices.append(f"column {name!r} numbers the rows and is left out")
        elif train[name].isna().all() and name != time_column:
            notices.append(f"column {name!r} is always missing and is left out")
        else:
            kept.append(name)
    return kept
