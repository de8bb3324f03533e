"""From the public folder of a prepared competition to a task of gome, and from the private one to its hidden answers.

Follows a recipe. The answers are written beside the tables for whoever starts the run, who hands them to the vault;
programs, prompts and the log never see them. Rows to predict keep their order, so that `submission.py` finds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gome.events.metrics import METRICS
from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.tasks.guessing import RARE, columns
from gome.plugins.tasks.mlebench.competitions import Competition, prepared
from gome.plugins.tasks.mlebench.grading import answers_of
from gome.plugins.tasks.mlebench.reading import read_csv, read_sample, read_table
from gome.plugins.tasks.mlebench.recipes import RECIPES, Recipe, unfit
from gome.plugins.tasks.split import shuffled
from gome.plugins.tasks.tables.columns import useful
from gome.plugins.tasks.writing import Tables, whole, write

SEED = 7
PAGE = 6000
"""Characters of the competition's page that are kept."""
MADE = "row"
"""Name of the id where the competition's own cannot name rows of both tables."""


def recipe_of(one: Competition) -> Recipe:
    """The recipe of a competition; `UsageError` says why there is none."""
    if why := unfit(one.id):
        raise UsageError(
            f"{one.id} is no task that gome can run: {why}; programs, rendered or written by a model, are handed a "
            "table to learn from, a table to predict and one target. `gome mle-bench grade` grades a submission made "
            "otherwise"
        )
    return RECIPES[one.id]


def sample_of(one: Competition, folder: Path) -> pd.DataFrame:
    """The sample submission of a prepared competition."""
    path = folder / one.sample
    if not path.is_file():
        raise UsageError(f"the sample submission of {one.id} is not at {path}; prepare the competition again")
    return read_csv(path)


def targets_of(recipe: Recipe, sample: pd.DataFrame) -> tuple[str, ...]:
    """Columns that are to be predicted, each by a run of its own."""
    return recipe.targets or tuple(str(name) for name in sample.columns if name != recipe.key)


def target_of(one: Competition, recipe: Recipe, sample: pd.DataFrame, said: str) -> str:
    """The target of this run: the only one, or the one that was said."""
    known = targets_of(recipe, sample)
    if said and said not in known:
        raise UsageError(f"--target: {one.id} has no target {said!r}; it has {', '.join(known[:8])}")
    if not said and len(known) > 1:
        raise UsageError(
            f"{one.id} has {len(known)} targets, and a run predicts one: choose with --target ({', '.join(known[:6])}"
            f"{', …' if len(known) > 6 else ''}); `gome mle-bench submission` joins the runs"
        )
    return said or known[0]


def prepare(one: Competition, data: Path, options: TaskOptions, folder: Path) -> PreparedTask:
    """Write the task into `folder`. `UsageError` for whatever is missing or cannot be asked for."""
    recipe = recipe_of(one)
    source = prepared(one, data)
    sample = sample_of(one, source)
    target = target_of(one, recipe, sample, options.target)
    seed = SEED if options.split_seed is None else options.split_seed
    notices: list[str] = []
    train, test = _public(one, recipe, source / "public", seed, notices)
    train = _with_target(recipe, train, target, notices)
    kind = recipe.kind
    values = train[target]
    classes = () if kind == "regression" else tuple(sorted(values.astype(str).unique()))
    order = shuffled([str(index) for index in range(len(train))], seed, "order")
    train = train.iloc[order].reset_index(drop=True)
    answers = _answers(one, recipe, target, data, test, notices)
    key = _named(recipe, train, test)
    others = {*targets_of(recipe, sample), *recipe.classes, target, recipe.group, key, *dict(recipe.drop)}
    if not recipe.key_tells:
        others.add(recipe.key)
    shared = [str(name) for name in test.columns if name in train.columns and name not in others]
    features = useful(train, shared, "", notices)
    lead = [key, *([recipe.group] if recipe.group else [])]
    together = pd.concat([train, test], ignore_index=True)[[*lead, *features]].apply(whole)
    known = together.iloc[: len(train)].reset_index(drop=True).assign(**{target: train[target].to_numpy()})
    hidden = together.iloc[len(train) :].reset_index(drop=True)
    graded = None if answers is None else hidden[[key]].assign(**{target: answers})
    return write(
        Tables(
            name=one.id if len(targets_of(recipe, sample)) == 1 else f"{one.id}-{target}",
            title=one.name,
            kind=kind,
            metric=METRICS[recipe.metric].metric,
            target=target,
            id=key,
            group=recipe.group,
            columns=tuple(columns(known, features, {}, {})),
            classes=classes,
            train=known,
            test=hidden,
            answers=graded,
            split="the test rows of MLE-bench",
            description=_told(one, recipe, target, source / "public" / "description.md"),
            source=f"Kaggle competition {one.id}, as prepared by MLE-bench",
            licence="the competition's rules on Kaggle",
            facts=(("MLE-bench", f"{one.complexity}; medals from {one.bronze:g}, gold from {one.gold:g}"),),
            remarks={
                "Not seen": tuple(text for text in (recipe.left_out,) if text),
                "Dropped columns": tuple(f"`{name}`: {why}" for name, why in recipe.drop),
                "Known problems": tuple(text for text in (one.caveat,) if text),
                "Notes": (*recipe.notes, *notices),
            },
            notices=tuple(notices),
        ),
        folder,
    )


def _told(one: Competition, recipe: Recipe, target: str, page: Path) -> str:
    """What the reasoner reads: what is asked for, then the competition's own page, as far as it is short."""
    graded = f"{one.metric}" + (f" ({one.metric_detail})" if one.metric_detail else "")
    stands = f" The metric here stands for {recipe.stands_for}." if recipe.stands_for else ""
    told = f"Predict `{target}`. Submissions are graded by {graded}.{stands}"
    if page.is_file():
        told += "\n\n" + page.read_text(encoding="utf-8", errors="replace")[:PAGE].strip()
    return told


def _public(
    one: Competition, recipe: Recipe, public: Path, seed: int, notices: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    for name in (recipe.train, recipe.test):
        if not (public / name).is_file():
            raise UsageError(f"{one.id}: {public / name} is missing; prepare the competition again")
    try:
        test = read_table(public / recipe.test)
        if recipe.rows is None:
            return read_table(public / recipe.train), test
        train, total = read_sample(public / recipe.train, recipe.rows, recipe.group, seed)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{one.id}: the tables in {public} cannot be read ({error}); prepare it again") from error
    if len(train) < total:
        notices.append(f"{len(train):,} of {total:,} training rows are used, drawn with seed {seed}")
    return train, test


def _with_target(recipe: Recipe, train: pd.DataFrame, target: str, notices: list[str]) -> pd.DataFrame:
    """Join 0/1 columns to one target, and leave out rows without it and rows of classes too rare for folds."""
    if recipe.classes:
        picked = train[list(recipe.classes)].to_numpy().argmax(axis=1)
        train = train.drop(columns=list(recipe.classes)).assign(**{target: [recipe.classes[i] for i in picked]})
    if target not in train:
        raise UsageError(f"{recipe.train} has no column {target!r}; is this the folder of another competition?")
    if recipe.metric != "accuracy" and pd.api.types.is_bool_dtype(train[target]):
        train[target] = train[target].astype(int)  # as the answers write it
    kept = train[target].notna()
    if recipe.kind != "regression":
        counts = train[target].value_counts()
        kept &= ~train[target].isin(counts[counts < RARE].index)
    if not kept.all():
        notices.append(
            f"{int((~kept).sum()):,} training rows without {target!r}, or of a class with so few, are left out"
        )
    return train[kept].reset_index(drop=True)


def _named(recipe: Recipe, train: pd.DataFrame, test: pd.DataFrame) -> str:
    """The id column: the competition's own where it names every row of both tables once, else numbers in `MADE`."""
    if recipe.key in train and recipe.key in test and not recipe.key_tells:
        both = pd.concat([train[recipe.key], test[recipe.key]])
        if both.notna().all() and both.is_unique:
            return recipe.key
    rows = len(train)
    train.insert(0, MADE, range(rows))
    test.insert(0, MADE, range(rows, rows + len(test)))
    return MADE


def _answers(
    one: Competition, recipe: Recipe, target: str, data: Path, test: pd.DataFrame, notices: list[str]
) -> list[Any] | None:
    """Hidden values of the target in the order of the test rows, None where the private folder is not there."""
    if not (prepared(one, data) / one.answers).is_file():
        notices.append("the private folder is missing: there is no hidden score")
        return None
    answers: pd.DataFrame = answers_of(one, data)
    if target not in answers:  # one 0/1 column per class
        labels = [str(name) for name in (recipe.classes or [c for c in answers.columns if c != recipe.key])]
        picked = answers[labels].to_numpy().argmax(axis=1)
        answers = answers.assign(**{target: [labels[i] for i in picked]})
    if len(answers) == len(test) and answers[recipe.key].tolist() == test[recipe.key].tolist():
        return list(answers[target])
    if answers[recipe.key].duplicated().any():
        raise UsageError(f"{one.id}: answers and test rows differ in number or order; prepare the competition again")
    return list(test[recipe.key].map(answers.set_index(recipe.key)[target]))
