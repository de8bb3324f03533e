"""`gome import`: take recorded runs into the log. What a file is, its bytes say."""

from __future__ import annotations

from pathlib import Path

import click

from gome.kernel.cli.opening import json_option, nats_option
from gome.kernel.errors import UsageError


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE…")
@nats_option
@json_option
def import_(files: tuple[Path, ...], nats: str, as_json: bool) -> None:
    """Import published traces (Trace_1.json …): one run per competition, and nothing twice.

    Ends with 1 where a file is damaged: what lies before the damage is imported all the same.
    """
    from gome.kernel.cli.import_traces import import_traces
    from gome.kernel.importing import is_traces

    for file in files:
        if not is_traces(file):
            raise UsageError(f'{file} is no traces file: one begins with {{"<competition>": {{"scenario": …')
    raise SystemExit(import_traces(files, nats, as_json))
