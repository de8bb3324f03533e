"""Whether a pipeline suits a task: its kind, its metric, and the columns that each step needs."""

from __future__ import annotations

import difflib

from gome.events.pipeline.features import (
    Categorise,
    CountEncoding,
    Cross,
    DateParts,
    Difference,
    Drop,
    GroupStatistics,
    MissingIndicators,
    Neighbours,
    Ordinal,
    Product,
    Quality,
    Ratio,
    Sum,
    TargetEncoding,
    TextStatistics,
    Tfidf,
    derived_name,
)
from gome.events.pipeline.models import CLASSES_ONLY, REGRESSION_ONLY, Booster, HistBooster
from gome.events.pipeline.spec import Member, Pipeline, family
from gome.events.task import Task


def check_task(pipeline: Pipeline, task: Task) -> None:
    """Raise a ValueError, naming the member and the column, if a pipeline does not suit a task's kind or columns."""
    known = {c.name: c.kind for c in task.columns}
    for number, member in enumerate(pipeline.members):
        where, name = f"member {number} ({family(member)})", family(member)
        if task.kind == "regression" and name in CLASSES_ONLY:
            raise ValueError(f"{where}: this family is for classes only, the task is a regression")
        if task.kind != "regression" and name in REGRESSION_ONLY:
            raise ValueError(f"{where}: this family is for regression only, the task has classes")
        if task.kind != "regression" and member.target != "none":
            raise ValueError(f"{where}: target transform {member.target!r} is for regression only")
        if task.kind != "regression" and isinstance(member.model, Booster) and member.model.objective != "auto":
            raise ValueError(f"{where}: objective {member.model.objective!r} is for regression only")
        if task.kind != "regression" and isinstance(member.model, HistBooster) and member.model.loss != "auto":
            raise ValueError(f"{where}: loss {member.model.loss!r} is for regression only")
        if task.kind == "regression" and member.temperature:
            raise ValueError(f"{where}: temperature scaling is for classes only")
        _check_columns(member, dict(known), where)
    if pipeline.blend.kind == "rank" and task.metric.name != "roc_auc":
        raise ValueError(f"blend 'rank' keeps only the order; the metric {task.metric.name} needs values")
    if pipeline.blend.space == "logit" and task.kind == "regression":
        raise ValueError("blend space 'logit' is for probabilities, the task is a regression")
    if pipeline.blend.space == "log1p" and task.kind != "regression":
        raise ValueError("blend space 'log1p' is for regression, the task has classes")


def _check_columns(member: Member, known: dict[str, str], where: str) -> None:
    """Walk the steps as the program will, keeping the kinds of the columns that exist so far."""

    def need(column: str, *kinds: str) -> None:
        if column not in known:
            close = difflib.get_close_matches(column, known, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(list(known)[:12])} …"
            raise ValueError(f"{where}: {op} names a column that is not there: {column!r}{hint}")
        if kinds and known[column] not in kinds:
            raise ValueError(f"{where}: column {column!r} is {known[column]}, but {op} needs {' or '.join(kinds)}")

    for step in member.features:
        op = str(type(step).__struct_config__.tag)
        match step:
            case Ratio(a=a, b=b) | Product(a=a, b=b) | Difference(a=a, b=b):
                need(a, "numeric", "time")
                need(b, "numeric", "time")
                known[derived_name(step)] = "numeric"
            case Sum(columns=columns, name=name):
                for column in columns:
                    need(column, "numeric")
                known[name] = "numeric"
            case Ordinal(column=column):
                need(column, "category", "numeric")
                known[f"{column}_rank"] = "numeric"
            case Quality(columns=columns) | CountEncoding(columns=columns) | TargetEncoding(columns=columns):
                for column in columns:
                    need(column, "category", "numeric")
            case GroupStatistics(by=by, columns=columns):
                need(by, "category", "numeric")
                for column in columns:
                    need(column, "numeric")
            case Neighbours(columns=columns):
                for column in columns:
                    need(column, "numeric", "time")
            case MissingIndicators(columns=columns):
                for column in columns:
                    need(column)
            case Cross(columns=columns):
                for column in columns:
                    need(column, "category", "numeric")
                known[derived_name(step)] = "category"
            case Categorise(columns=columns):
                for column in columns:
                    need(column, "numeric", "category")
                    known[column] = "category"
            case Tfidf(column=column) | TextStatistics(column=column):
                need(column, "text", "category")
            case DateParts(column=column):
                need(column, "time")
            case Drop(columns=columns):
                for column in columns:
                    need(column)
                    del known[column]
