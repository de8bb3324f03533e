"""`gome import` for archives of gome's own: the same runs as where they were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gome.kernel.cli.opening import complete, opened
from gome.kernel.cli.output import emit, say

if TYPE_CHECKING:
    from gome.kernel.archive_import import Taken, TakenRun


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, as archives are, whatever its name is."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False


def import_archive(path: Path, trust: str, nats: str, as_json: bool) -> bool:
    """Take in the runs of an archive, print what came of it, and say whether it was whole."""

    async def take() -> Taken:
        from gome.kernel.archive import Archive
        from gome.kernel.archive_import import Importer
        from gome.kernel.archive_sign import trusted

        key = trusted(trust) if trust else ""
        with Archive(path) as archive:
            async with opened(nats) as connection:
                return await Importer(connection, archive, key).take()

    taken = complete(take)
    (_emit if as_json else _print)(path, taken)
    return taken.whole


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
