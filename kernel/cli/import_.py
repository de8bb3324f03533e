"""`gome import`: take in the runs of an archive; the same runs as where it was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import complete, json_option, nats_option, opened
from gome.kernel.cli.output import emit, say

if TYPE_CHECKING:
    from gome.kernel.archive_import import Taken, TakenRun


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE.gome…", type=click.Path(path_type=Path))
@click.option("--trust", default="", metavar="PUBKEY", help="Take only what this key (or .pub file) has signed.")
@nats_option
@json_option
def import_(files: tuple[Path, ...], trust: str, nats: str, as_json: bool) -> None:
    """Take in the runs of archives: checked record by record, with the bytes that they have there.

    What is damaged is named and the rest is taken (ends with 1). Doing it again changes nothing.
    """

    async def take(path: Path) -> Taken:
        from gome.kernel.archive import Archive
        from gome.kernel.archive_import import Importer
        from gome.kernel.archive_sign import trusted

        key = trusted(trust) if trust else ""
        with Archive(path) as archive:
            async with opened(nats) as connection:
                return await Importer(connection, archive, key).take()

    whole = True
    for path in files:
        taken = complete(lambda path=path: take(path))  # type: ignore[misc]
        whole = whole and taken.whole
        if as_json:
            _emit(path, taken)
        else:
            _print(path, taken)
    if not whole:
        raise SystemExit(1)


def _emit(path: Path, taken: Taken) -> None:
    emit(
        {
            "file": str(path),
            "whole": taken.whole,
            "artifacts": taken.stored,
            "known": taken.known,
            "left_out": taken.left_out,
            "signer": taken.signer,
            "checked": taken.checked,
            "problems": taken.problems,
            "runs": taken.runs,
        }
    )


def _print(path: Path, taken: Taken) -> None:
    for run in taken.runs:
        print(_sentence(run))
    print(f"{path}: {taken.stored:,} artifacts stored, {taken.known:,} were there")
    if taken.signer:
        print(f"signed by {taken.signer}" + ("" if taken.checked else ' (not checked: pip install "gome[sign]")'))
    if taken.left_out:
        say(f"({taken.left_out:,} files were left out when it was exported)")
    for problem in [*taken.problems, *(f"run {run.run}: {run.damage}" for run in taken.runs if run.damage)]:
        say(f"gome: {path}: {problem}")


def _sentence(run: TakenRun) -> str:
    graded = f", {run.grades:,} hidden grades" if run.grades else ""
    if run.outcome == "there":
        return f"{run.run}: is there already, up to event {run.events:,}{graded}"
    if run.outcome == "refused":
        return f"{run.run}: not taken in"
    return f"{run.run}: {run.outcome}, {run.records:,} records, up to event {run.events:,}{graded}"
