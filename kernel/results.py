"""What a finished run hands to a person: a summary with its uncertainty, and the result folder.

`summarise` is a pure reading of the trajectory and the vault's grades; `write` lays out `./gome-<task>-<run>/`:
best_program.py with its tables under `input/`, submission.csv, oof.csv, REPORT.md, requirements.txt. The text of the
report is in `report`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from gome.events import (
    BASELINE,
    Artifact,
    Attempt,
    ExecutionFinished,
    Ledger,
    RunForked,
    SubmissionGraded,
    SubmissionSelected,
    Task,
    Trajectory,
)
from gome.kernel.choices import Choice, choices
from gome.kernel.errors import UsageError
from gome.kernel.plugin import Artifacts


class Gain(Struct, frozen=True):
    """How much better the handed-in submission is than another one, positive better, in units of the metric; `share`
    is the same relative to the other's score. `low` and `high` bound the paired 95 % interval."""

    over: str
    score: float
    gain: float
    share: float
    low: float
    high: float


class Payer(Struct, frozen=True):
    """An accepted change and what it gained on validation, in units of the metric, with the guard's noise."""

    attempt: str
    trace: int
    change: str
    gain: float
    noise: float


class Summary(Struct, frozen=True):
    """The result of a run. Scores are in the metric's units; `None` where there is nothing (no hidden answers, nothing
    handed in). `hidden` is only filled once the run is finished. `cached` of the executions were answered by earlier
    ones of the same home. `calls`, tokens and `money` (USD) are those of language models; money is None where a price
    is unknown. `origin` says in words where a forked run comes from ("": it is no fork). `first` says how the first
    attempt was handed in where that is what was: as it was scored (`itself`) or run with other seeds (`rerun`)."""

    run: str
    task: str
    metric: str
    greater_is_better: bool
    outcome: str
    reason: str
    attempt: str
    score: float | None
    score_se: float | None
    hidden: float | None
    hidden_se: float | None
    over_baseline: Gain | None
    over_first: Gain | None
    steps: int
    accepted: int
    failed: int
    executions: int
    seconds: float
    payers: tuple[Payer, ...]
    findings: tuple[str, ...]
    choices: tuple[Choice, ...] = ()
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = 0.0
    models: tuple[str, ...] = ()
    folder: str = ""
    cached: int = 0
    origin: str = ""
    first: Literal["", "itself", "rerun"] = ""


def _gain(grades: Mapping[str, SubmissionGraded], other: str, name: str) -> Gain | None:
    final = grades.get("final")
    if final is None:
        return None
    for c in final.comparisons:
        if c.attempt == other and other in grades:
            low, high = final.intervals.get(other, (float("nan"), float("nan")))
            score = grades[other].score
            return Gain(name, score, c.difference, c.difference / abs(score) if score else 0.0, low, high)
    return None


def first_attempt(t: Trajectory) -> Attempt | None:
    """The first accepted attempt in planning order."""
    return next((a for a in t.attempts.values() if a.accepted), None)


def _handed_in(first: Attempt | None, selected: SubmissionSelected | None) -> Literal["", "itself", "rerun"]:
    """How the first attempt was handed in; "" where another one was, or a mean of several."""
    if first is None or first.scored is None or selected is None or selected.attempt != first.id:
        return ""
    own = first.scored.outputs.get("submission.csv")
    if own is not None and own.digest == selected.submission.digest:
        return "itself"
    # A mean of several attempts holds this one as it was scored; a rerun has another seed or partition.
    runs = list(zip(selected.seeds, selected.partitions, strict=False))
    return "rerun" if runs and (first.scored.seed, first.scored.partition) not in runs else ""


def summarise(run: str, t: Trajectory, grades: Mapping[str, SubmissionGraded], ledger: Ledger) -> Summary:
    """Read a run's result off its trajectory and ledger. Hidden grades count only when the run is finished."""
    assert t.started is not None
    task = t.started.task
    shown = grades if t.finished else {}
    final = shown.get("final")
    first = first_attempt(t)
    handed_in = _handed_in(first, t.selected)
    other = "its first run" if handed_in == "rerun" else f"the first attempt ({first.id})" if first else ""
    payers = sorted((a for a in t.accepted_attempts() if a.gain > 0 and a.parent), key=lambda a: -a.gain)
    return Summary(
        run=run,
        task=task.name,
        metric=task.metric.name,
        greater_is_better=task.metric.greater_is_better,
        outcome=t.finished.outcome if t.finished else "open",
        reason=t.finished.reason if t.finished else t.suspended,
        attempt=t.selected.attempt if t.selected else t.best,
        score=t.selected.score if t.selected else (b.score if (b := t.best_attempt()) else None),
        score_se=t.selected.se if t.selected else (b.scored.se if b and b.scored else None),
        hidden=final.score if final else None,
        hidden_se=final.se if final else None,
        over_baseline=_gain(shown, BASELINE, "default LightGBM"),
        over_first=_gain(shown, first.id, other) if first else None,
        steps=len(t.attempts),
        accepted=len(t.accepted_attempts()),
        failed=sum(1 for a in t.attempts.values() if a.failure and a.accepted is False),
        executions=ledger.executions,
        cached=ledger.cached,
        seconds=t.active,
        calls=ledger.completions,
        tokens_in=sum(cost.tokens_in for cost in ledger.models.values()),
        tokens_out=sum(cost.tokens_out for cost in ledger.models.values()),
        money=None if ledger.money_unknown else ledger.money,
        models=tuple(sorted(ledger.models)),
        payers=tuple(
            Payer(a.id, a.trace, a.hypothesis.statement if a.hypothesis else "", a.gain, a.noise) for a in payers[:6]
        ),
        findings=task.findings,
        choices=choices(t, shown),
        origin=origin_of(t),
        first=handed_in,
    )


def origin_of(t: Trajectory) -> str:
    """Where a forked run comes from, in words; "" for a run that is no fork."""
    return "; ".join(_origin(forked) for forked in reversed(t.forks))


def _origin(forked: RunForked) -> str:
    said = f"fork of {forked.parent} at event {forked.position}"
    changed = [
        name for name in ("seed", "budget", "traces", "capacity", "profile") if getattr(forked, name) is not None
    ]
    played = [f"{r} {n}" for r, n in (forked.roles or {}).items() if n in forked.replaced]
    what = [*played, *(f"[{name}]" for name in forked.settings if name not in (forked.roles or {}).values()), *changed]
    how = ", on its recorded results" if forked.substitute else ""
    return said + (f" with another {', '.join(what)}" if what else "") + how


def folder_for(task: Task, run: str, where: Path) -> Path:
    """`./gome-<task>-<run>`, the task's name not said twice."""
    name = run if run.startswith(task.name) else f"{task.name}-{run}"
    return where / f"gome-{name}"


def check_place(where: Path) -> None:
    """Raise `UsageError` where no result folder can be made, which a run should not learn at its end."""
    there = next(path for path in (where, *where.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "you may not write there" if there.is_dir() else f"{there} is a file"
        raise UsageError(f"cannot write results to {where}: {why}; name another folder with --out")


def write(folder: Path, t: Trajectory, report: str, artifacts: Artifacts) -> None:
    """Write the result folder of a run that has handed something in. Existing files of the same names are replaced."""
    assert t.started is not None
    task = t.started.task
    try:
        (folder / "input").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot write results to {folder}: {error.strerror}"
        raise UsageError(f"{why}; name another folder with --out") from error
    (folder / "REPORT.md").write_text(report)
    if t.selected is None:
        return
    (folder / "best_program.py").write_text(str(t.selected.program))
    for artifact, name in (
        (t.selected.submission, "submission.csv"),
        (t.selected.oof, "oof.csv"),
        (task.train, "input/train.csv"),
        (task.test, "input/test.csv"),
    ):
        _copy(artifacts, artifact, folder / name)
    if t.profiled:
        _copy(artifacts, t.profiled.folds, folder / "input/folds.csv")
        _copy(artifacts, t.profiled.sample, folder / "input/sample_submission.csv")
    (folder / "requirements.txt").write_text(requirements(t))


def _copy(artifacts: Artifacts, artifact: Artifact, target: Path) -> None:
    shutil.copyfile(artifacts.path(artifact.digest), target)
    target.chmod(0o644)


def takes_tables(program: str) -> bool:
    """Whether a program can be given other tables by `--train`, `--test` and `--out`; rendered ones can."""
    return all(f'"{flag}"' in program for flag in ("--train", "--test", "--out"))


def requirements(t: Trajectory) -> str:
    """What the program needs, with the versions it was executed under."""
    versions = selected_execution(t).versions if t.selected and selected_execution(t) else {}
    names = {"sklearn": "scikit-learn"}
    lines = [f"{names.get(k, k)}=={v}" for k, v in sorted(versions.items()) if k not in ("python", "gome")]
    return "\n".join(lines) + "\n"


def selected_execution(t: Trajectory) -> Any:
    """The full execution of the attempt that was handed in, None when nothing was."""
    attempt = t.attempts.get(t.selected.attempt) if t.selected else None
    execution: ExecutionFinished | None = attempt.execution if attempt else None
    return execution
