"""From a person's tables to a task: find the columns, guess what was not said, hold rows out, refuse what cannot work.

Also used by the folder source, whose file says the same in TOML. Reading is `gome.plugins.tasks.reading`, guessing
`gome.plugins.tasks.guessing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gome.events import ColumnKind, TaskKind
from gome.events.metrics import METRICS
from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.tasks.guessing import Aim, aim, columns
from gome.plugins.tasks.reading import read_table
from gome.plugins.tasks.split import by_group, latest, shuffled, stratified
from gome.plugins.tasks.tables.columns import find_id, matching, missing_column, require, useful, with_target
from gome.plugins.tasks.writing import Tables, whole, write

SEED = 7
HOLDOUT = 0.2


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is known of a task before its tables are read; `options` are a person's words, the rest a folder's."""

    train: Path
    options: TaskOptions
    kind: TaskKind | None = None
    kinds: dict[str, ColumnKind] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    source: str = ""


def prepare(wish: Wish, folder: Path) -> PreparedTask:
    """Read, check and split the tables of a wish and write the task into `folder`. Raises `UsageError`."""
    options, notices = wish.options, list[str]()
    if not options.target:
        raise UsageError(f"what is to be predicted in {wish.train}? Name its column with --target")
    train = read_table(wish.train, "training table", options.id)
    require(train, options, wish.train)
    for about, said in (("columns", wish.kinds), ("notes", wish.notes)):
        for name in said:
            if name not in train:
                raise missing_column(name, f"{about} are about {name!r}, but", list(train.columns), wish.train)
    test = read_table(options.test, "test table", options.id) if options.test else None
    train = with_target(train, options.target, wish.train, notices)
    sought = aim(train[options.target], options.target, options.metric, wish.kind)
    notices += [f"kind {sought.kind}: {sought.why_kind}", f"metric {sought.metric}: {sought.why_metric}"]
    if test is not None and options.test is not None:
        test = matching(train, test, options, options.test)
    features = [str(name) for name in train.columns if name not in (options.target, *options.drop)]
    id_name = find_id(train, test, features, options, notices)
    features = [name for name in features if name not in (id_name, options.group)]
    features = useful(train, features, options.time_column, notices)
    if not features:
        raise UsageError(
            f"{wish.train} has no feature column left beside target, id, group and dropped ones; keep some"
        )
    return _split(wish, train, test, sought, id_name, features, notices, folder)


def _times(series: pd.Series, name: str) -> list[Any]:
    if pd.api.types.is_numeric_dtype(series):
        return list(series)
    parsed = pd.to_datetime(series, errors="coerce", utc=True, format="mixed")
    if parsed.isna().any():
        bad = series[parsed.isna()].iloc[0]
        raise UsageError(f"--time-column: {name!r} holds {bad!r}, which is no time; write times like 2026-01-31 12:00")
    return list(parsed)


def _held_out(frame: pd.DataFrame, sought: Aim, options: TaskOptions, seed: int) -> tuple[list[bool], str]:
    share = options.holdout or HOLDOUT
    said = f"{share:.0%} held out"
    if options.time_column:
        extra = " (groups may lie on both sides)" if options.group else ""
        return latest(_times(frame[options.time_column], options.time_column), share), (
            f"{said}: the latest by {options.time_column!r}{extra}"
        )
    if options.group:
        return by_group(
            list(frame[options.group]), share, seed
        ), f"{said}, whole groups of {options.group!r}; seed {seed}"
    keys = [str(index) for index in range(len(frame))]
    values = frame[options.target]
    if sought.kind == "regression":
        strata = (values.rank(method="first", pct=True) * 10).astype(int).tolist()
        return stratified(keys, strata, share, seed), f"{said}, stratified by tenth of the target; seed {seed}"
    return stratified(keys, list(values.astype(str)), share, seed), f"{said}, stratified by class; seed {seed}"


def _split(
    wish: Wish,
    train: pd.DataFrame,
    test: pd.DataFrame | None,
    sought: Aim,
    id_name: str,
    features: list[str],
    notices: list[str],
    folder: Path,
) -> PreparedTask:
    options = wish.options
    seed = SEED if options.split_seed is None else options.split_seed
    lead = [name for name in (options.group,) if name]
    graded = test is None or options.target in test.columns
    if test is None:
        # Numbers are given after shuffling: the place in the file must not be found in the id.
        order = shuffled([str(index) for index in range(len(train))], seed, "order")
        whole_table = train.iloc[order].reset_index(drop=True)
        held, split = _held_out(whole_table, sought, options, seed)
        together = whole_table
    else:
        order = shuffled([str(index) for index in range(len(train))], seed, "order")
        held = [False] * len(train) + [True] * len(test)
        together = pd.concat([train.iloc[order], test], ignore_index=True)
        split = "the test table given" + (", which holds the target and so is graded" if graded else "")
        if graded:
            together[options.target] = _answers(together[options.target], train[options.target], held, sought)
    if not id_name:
        taken = {*map(str, together.columns), *sought.classes}
        id_name = next(name for name in ("id", "row_id", "gome_id") if name not in taken)
        together.insert(0, id_name, range(len(together)))
        notices.append(
            f"id {id_name!r}: made, rows numbered"
            + (" (test rows in the order of their table)" if test is not None else "")
        )
    elif together[id_name].duplicated().any():
        both = together[id_name][together[id_name].duplicated()].iloc[0]
        raise UsageError(f"--id: {id_name!r} {both!s} occurs in the training and in the test table; ids must differ")
    _no_clash(id_name, sought.classes if sought.kind == "multiclass" else (options.target,))
    prepared = together[[id_name, *lead, *features]].apply(whole)
    mask = pd.Series(held)
    labels = together[options.target]
    known = prepared.loc[~mask].assign(**{options.target: labels[~mask]})
    if sought.kind == "regression" or pd.api.types.is_integer_dtype(train[options.target]):
        known[options.target] = known[options.target].astype(train[options.target].dtype)
    if test is None:
        _still_there(known[options.target], sought, options)
    hidden = prepared.loc[mask]
    if test is not None and options.group not in test.columns:
        hidden = hidden.drop(columns=lead)
    name = re.sub(r"[^\w.-]+", "-", options.name or wish.train.name.split(".")[0]).strip("-.") or "task"
    tables = Tables(
        name=name,
        kind=sought.kind,
        metric=METRICS[sought.metric].metric,
        target=options.target,
        id=id_name,
        group=options.group,
        time=options.time_column,
        columns=tuple(columns(known, features, wish.kinds, wish.notes)),
        classes=sought.classes,
        train=known,
        test=hidden,
        answers=hidden[[id_name]].assign(**{options.target: labels[mask]}) if graded else None,
        split=split,
        description=options.description,
        source=wish.source or f"own data: {wish.train.name}" + (f" and {options.test.name}" if options.test else ""),
        remarks={
            "What was guessed": tuple(notices),
            "Dropped columns": tuple(f"`{name}`: as asked for" for name in options.drop),
        },
        notices=tuple(notices),
    )
    return write(tables, folder)


def _no_clash(id_name: str, predicted: tuple[str, ...]) -> None:
    """Predictions are written as id, fold and one column per `predicted`: these must be different names."""
    for name in (id_name, *predicted):
        if name == "fold" or (name == id_name and name in predicted):
            other = "the number of the fold" if name == "fold" else "the id"
            raise UsageError(f"{name!r} names a column of predictions, but also {other}; rename that column or class")


def _answers(labels: pd.Series, given: pd.Series, held: list[bool], sought: Aim) -> pd.Series:
    """Check the target that a test table brought along and give it the training table's type."""
    mask = pd.Series(held)
    if labels[mask].isna().any():
        raise UsageError(
            "--test: the test table has the target, but not in every row; fill it (then it is graded) or remove the "
            "column"
        )
    if sought.kind == "regression":
        numbers = pd.to_numeric(labels, errors="coerce")
        if numbers.isna().any():
            raise UsageError(
                "--test: the target in the test table is not always a number; correct or remove the column"
            )
        return numbers
    if pd.api.types.is_integer_dtype(given):
        numbers = pd.to_numeric(labels, errors="coerce")
        labels = labels if numbers.isna().any() else numbers.astype(given.dtype)
    strange = sorted(set(labels[mask].astype(str)) - set(sought.classes))
    if strange:
        raise UsageError(
            f"--test: class {strange[0]!r} of the target occurs in the test table only; add training rows of it"
        )
    return labels


def _still_there(values: pd.Series, sought: Aim, options: TaskOptions) -> None:
    gone = sorted(set(sought.classes) - set(values.astype(str)))
    if gone or values.nunique() < 2:
        how = f"--time-column {options.time_column}" if options.time_column else f"--group {options.group}"
        what = f"class {gone[0]!r}" if gone else "all but one value"
        raise UsageError(
            f"after holding rows out by {how}, {what} of target {options.target!r} is left to no training row; "
            f"give a --test table or split otherwise"
        )
