"""`gome import`: take recorded runs into the log. What a file is, its bytes say."""

from __future__ import annotations

from pathlib import Path

import click

from gome.kernel.cli.opening import json_option, nats_option
from gome.kernel.errors import UsageError


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--trust", default="", metavar="PUBKEY", help="Take only archives that this key (.pub file) has signed.")
@nats_option
@json_option
def import_(files: tuple[Path, ...], trust: str, nats: str, as_json: bool) -> None:
    """Take in archives (FILE.gome: the same runs as where they were written), published traces (Trace_1.json …: one run
    per competition), AIDE journals (journal.json or its folder), and RD-Agent log folders as far as they are JSON and
    text: pickles are refused. Nothing is taken in twice.

    Ends with 1 where something is damaged: what is whole is taken all the same.
    """
    from gome.kernel.cli.import_archive import import_archive, is_archive
    from gome.kernel.cli.import_traces import import_traces
    from gome.kernel.importing.sources import check

    archives = [file for file in files if is_archive(file)]
    others = [file for file in files if file not in archives]
    if trust and others:
        raise UsageError(f"{others[0]} is no archive, and nothing else is signed; leave out --trust")
    for file in others:
        check(file)
    whole = [import_archive(file, trust, nats, as_json) for file in archives]
    code = import_traces(others, nats, as_json) if others else 0
    if code or not all(whole):
        raise SystemExit(1)
