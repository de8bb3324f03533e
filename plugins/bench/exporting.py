"""`gome bench table` and `gome bench archive`: a bench as a table, and with all its runs as one portable file."""

from __future__ import annotations

from pathlib import Path

import click

from gome.kernel.archive_export import Exported, Exporter
from gome.kernel.cli.opening import complete, json_option, nats_option, opened, reading
from gome.kernel.cli.output import emit, say
from gome.kernel.diagnostics import known_secrets
from gome.kernel.errors import UsageError
from gome.kernel.settings import load
from gome.plugins.bench.reading import recorded
from gome.plugins.bench.rows import rows
from gome.plugins.bench.table import Row, encode, write_table


@click.command("table")
@click.argument("bench")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@nats_option
@json_option
def table(bench: str, file: Path, nats: str, as_json: bool) -> None:
    """Write the table of BENCH (an id, or FILE.gome:ID in an archive) to FILE.parquet or FILE.jsonl (-: JSON lines on
    stdout): a row per cell that has ended, with scores, costs and the curve."""

    async def read() -> list[Row]:
        async with reading(bench, nats) as (connection, name):
            return await rows(connection, name)

    found = complete(read)
    if str(file) == "-":
        click.echo(encode(found).decode(), nl=False)
        return
    write_table(file, found)
    if as_json:
        emit({"file": str(file), "rows": len(found)})
    else:
        click.echo(f"wrote {file}: {len(found)} rows")


@click.command("archive")
@click.argument("bench")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--without-data", is_flag=True, help="Leave out files that runs read and wrote; reports need none.")
@nats_option
@json_option
def archive(bench: str, file: Path, without_data: bool, nats: str, as_json: bool) -> None:
    """Write BENCH with the runs of all its cells and their hidden grades to FILE.gome, which `gome report` and
    `gome bench table` read without executing anything."""
    if file.suffix != ".gome":
        raise UsageError(f"{file}: an archive is a .gome file")

    async def write() -> Exported:
        settings = load(flags={"nats": nats or None})
        known = known_secrets() | {*settings.secrets.values(), settings.nats_token, settings.nats_password}
        async with opened(nats) as connection:
            found = await recorded(connection, bench)
            if found.finished is None:
                raise UsageError(f"bench {bench} has not ended; go on with it by `gome bench --resume {bench}` first")
            runs = [bench]
            for result in found.ended.values():
                if (await connection.log.head(result.run)).seq:
                    runs.append(result.run)
            return await Exporter(connection, known, data=not without_data, grades=True).write(runs, file)

    done = complete(write)
    if as_json:
        emit({"file": str(file), "bytes": done.size, "runs": len(done.runs), "lacking": done.lacking})
    else:
        click.echo(f"wrote {file}: {len(done.runs)} runs, {done.size:,} bytes, {done.artifacts:,} artifacts")
    for digest in done.lacking:
        say(f"gome: artifact {digest} is not in the store, or damaged there, and not in the archive")
    if done.lacking:
        raise SystemExit(1)
