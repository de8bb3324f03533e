"""`gome mle-bench`: list the competitions, turn runs into submissions, grade them, average over seeds.

Commands parse, call one function and print; pandas and the graders are imported inside them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.competitions import (
    SPLITS,
    VARIABLE,
    Competition,
    competition,
    competitions,
    data_folder,
    prepared,
    split,
)
from gome.plugins.tasks.mlebench.graders import UNSUPPORTED
from gome.plugins.tasks.mlebench.recipes import unfit
from gome.plugins.tasks.mlebench.reports import aggregate, file_name, grading_report, read, text_of

_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=f"Folder of prepared competitions (default ${VARIABLE}, else ~/.cache/mle-bench/data).",
)
_LEADERBOARDS = click.option(
    "--leaderboards",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Read thresholds from DIR/ID/leaderboard.csv instead of those that gome ships.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("mle-bench", epilog="First: gome mle-bench list; then gome run mlebench:spaceship-titanic")
def mle_bench() -> None:
    """Competitions of MLE-bench: list, show, submission, grade, aggregate."""


@mle_bench.command("list")
@click.option("--split", "name", default="", metavar="S", help=f"One of {', '.join(SPLITS)}, systemcard, or a file.")
@_JSON
def list_(name: str, as_json: bool) -> None:
    """List the competitions: which gome can run (run), which it can grade (grade)."""
    known = competitions()
    chosen = [known[one] for one in split(name)] if name else list(known.values())
    if as_json:
        for one in chosen:
            click.echo(json.dumps(_facts(one), ensure_ascii=False))
        return
    width = max(len(one.id) for one in chosen)
    for one in chosen:
        can = " ".join(("---" if unfit(one.id) else "run", "-----" if one.id in UNSUPPORTED else "grade"))
        click.echo(f"{one.id:<{width}}  {one.complexity:<6}  {can}  {'↓' if one.lower_is_better else '↑'} {one.metric}")


def _facts(one: Competition) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "not_run": unfit(one.id), "not_graded": UNSUPPORTED.get(one.id, "")}


@mle_bench.command()
@click.argument("name", metavar="ID")
@_JSON
def show(name: str, as_json: bool) -> None:
    """Show what is known of competition ID: metric, medals, files, and what gome cannot do with it."""
    facts = _facts(competition(name))
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for key, value in facts.items():
        if value not in ("", None):
            click.echo(f"{key.replace('_', ' '):<18}{value}")


@mle_bench.command()
@click.argument("name", metavar="ID")
@_DATA
def targets(name: str, data: Path | None) -> None:
    """Print what runs of competition ID predict, one target a line; a run predicts one (`gome run --target`)."""
    from gome.plugins.tasks.mlebench.prepare import recipe_of, sample_of, targets_of

    one = competition(name)
    for target in targets_of(recipe_of(one), sample_of(one, prepared(one, data_folder(data)))):
        click.echo(target)


@mle_bench.command()
@click.argument("name", metavar="ID")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="CSV")
@_DATA
def submission(name: str, files: tuple[Path, ...], out: Path, data: Path | None) -> None:
    """Write the submission of competition ID from FILES, the submission.csv of one run per target.

    Without FILES it is the sample submission: valid, and worth no medal.
    """
    from gome.plugins.tasks.mlebench.prepare import sample_of
    from gome.plugins.tasks.mlebench.submission import competition_submission

    one, folder = competition(name), data_folder(data)
    table = competition_submission(one, folder, files) if files else sample_of(one, prepared(one, folder))
    try:
        table.to_csv(out, index=False)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from error
    click.echo(f"wrote {out}: {len(table):,} rows, {', '.join(map(str, table.columns[:8]))}")


@mle_bench.command()
@click.argument("submission", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("name", metavar="[ID]", required=False, default="")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where the report of a JSONL goes."
)
@_DATA
@_LEADERBOARDS
def grade(submission: Path, name: str, out: Path | None, data: Path | None, leaderboards: Path | None) -> None:
    """Grade SUBMISSION: a CSV of competition ID, or a JSONL with a competition_id and a submission_path a line.

    A CSV's report is printed; a JSONL's goes to DIR/<time>_grading_report.json, as `mlebench grade` writes it.
    Missing and invalid submissions are reported, not refused; why is said on stderr.
    """
    from gome.plugins.tasks.mlebench.grading import report_on

    folder = data_folder(data)

    def report(one: Competition, path: Path | None) -> Any:
        made, graded = report_on(one, path, folder, leaderboards)
        if graded.why:
            click.echo(f"{one.id}: no score: {graded.why}", err=True)
        return made

    if submission.suffix.lower() == ".jsonl":
        if name or out is None:
            raise UsageError("a JSONL names its competitions itself and needs --out DIR for the report")
        jobs = _jobs(submission)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {out}: {error.strerror}; name another --out") from error
        found = grading_report([report(one, path) for one, path in jobs])
        path = out / file_name()
        path.write_text(text_of(found) + "\n", encoding="utf-8")
        click.echo(text_of({key: value for key, value in found.items() if key != "competition_reports"}))
        click.echo(f"wrote {path}", err=True)
        return
    if not name:
        raise UsageError(f"which competition is {submission} of? Name its id behind the file (gome mle-bench list)")
    click.echo(text_of(msgspec.to_builtins(report(competition(name), submission))))


def _jobs(path: Path) -> list[tuple[Competition, Path | None]]:
    """Competition and file of each line; blank lines and comments (`#`, `//`) are skipped. Raises `UsageError`, for a
    file without any, too."""
    jobs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no JSONL of submissions: it is not UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", "//")):
            continue
        try:
            said = json.loads(line)
            file = said["submission_path"]
            jobs.append((competition(said["competition_id"]), None if file is None else Path(file)))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f'{path}, line {number}: not {{"competition_id": "…", "submission_path": "….csv"}} '
                f"({type(error).__name__}: {error})"
            ) from error
    if not jobs:
        raise UsageError(f"{path} names no submission: write a competition_id and a submission_path a line")
    return jobs


@mle_bench.command("aggregate")
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--split", "name", default="split75", metavar="S", help="Competitions to average over (default split75).")
@click.option("--num-seeds", type=click.IntRange(1), metavar="K", help="Use the first K seeds only.")
@click.option("--pad-missing", is_flag=True, help="Count runs that are missing as failures.")
def aggregate_(reports: tuple[Path, ...], name: str, num_seeds: int | None, pad_missing: bool) -> None:
    """Average grading REPORTS over seeds: percentages of a split, mean, standard error, 95 % interval, as JSON."""
    seeds = -1 if num_seeds is None else num_seeds
    click.echo(text_of(aggregate(read(reports), split(name), seeds=seeds, pad=pad_missing)))
