"""`gome export`: runs as one portable file, with everything that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gome.kernel.archive import SUFFIX
from gome.kernel.cli.export_traces import SUFFIX as TRACES
from gome.kernel.cli.export_traces import export_traces
from gome.kernel.cli.opening import complete, json_option, must_exist, nats_option, opened
from gome.kernel.cli.output import emit, say
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.kernel.archive_export import Exported


@click.command("export")
@click.argument("names", nargs=-1, metavar="RUN… FILE.gome")
@click.option("--without-data", is_flag=True, help="Leave out files that runs read and wrote (verify names them).")
@click.option("--with-grades", is_flag=True, help="Add hidden grades (whoever has the file sees them).")
@click.option("--sign", "keyfile", type=click.Path(path_type=Path), metavar="KEYFILE", help="Sign it with a key.")
@click.option("--new-key", type=click.Path(path_type=Path), metavar="FILE", help="Only make a key to sign with.")
@nats_option
@json_option
def export(
    names: tuple[str, ...],
    without_data: bool,
    with_grades: bool,
    keyfile: Path | None,
    new_key: Path | None,
    nats: str,
    as_json: bool,
) -> None:
    """Write RUNs to FILE.gome: records, programs, texts and files, to be read in place or imported elsewhere.

    The same runs give the same bytes. Whatever is written is searched for secrets first; where one is found, nothing
    is written. With FILE.json imported runs are written back as the traces file that they came from.
    """
    if new_key is not None:
        _make_key(names, new_key, as_json)
        return
    if len(names) < 2 or not names[-1].endswith((SUFFIX, TRACES)):
        raise UsageError(f"say which runs, and the file to write last: gome export RUN… FILE{SUFFIX}")
    runs, target = list(dict.fromkeys(names[:-1])), Path(names[-1])
    if target.suffix == TRACES:
        if keyfile is not None or without_data:
            raise UsageError(f"{target} would be a traces file, which is neither signed nor cut; name a FILE{SUFFIX}")
        export_traces(runs, target, grades=with_grades, nats=nats, as_json=as_json)
        return

    async def write() -> Exported:
        from functools import partial

        from gome.kernel.archive_export import Exporter
        from gome.kernel.archive_sign import sign
        from gome.kernel.diagnostics import known_secrets
        from gome.kernel.settings import load

        settings = load(flags={"nats": nats or None})
        known = known_secrets() | {*settings.secrets.values(), settings.nats_token, settings.nats_password}
        async with opened(nats) as connection:
            for run in runs:
                await must_exist(connection, run)
            exporter = Exporter(connection, known, data=not without_data, grades=with_grades)
            return await exporter.write(runs, target, partial(sign, keyfile=keyfile) if keyfile else None)

    done = complete(write)
    told = {
        "file": str(target),
        "bytes": done.size,
        "runs": [{"run": r.run, "events": r.chain.seq, "hash": r.chain.hash, "asked": r.asked} for r in done.runs],
        "artifacts": done.artifacts,
        "left_out": done.left_out,
        "lacking": done.lacking,
        "signed": keyfile is not None,
    }
    if as_json:
        emit(told)
    else:
        _print(done, target, signed=keyfile is not None)
    if done.lacking:
        raise SystemExit(1)


def _print(done: Exported, target: Path, *, signed: bool) -> None:
    for run in done.runs:
        what = f"{run.chain.seq:,} events in {run.chain.records:,} records"
        print(f"{run.run}: {what}" + ("" if run.asked else ", the prefix of a fork"))
    print(f"wrote {target}: {done.size:,} bytes, {done.artifacts:,} artifacts" + (", signed" if signed else ""))
    if done.left_out:
        say(f"({done.left_out:,} files were left out; the manifest names them)")
    for digest in done.lacking:
        say(f"gome: artifact {digest} is not in the store, or damaged there, and not in the archive")


def _make_key(names: tuple[str, ...], path: Path, as_json: bool) -> None:
    from gome.kernel.archive_sign import new_key

    if names:
        raise UsageError("--new-key makes a key and exports nothing; leave out the runs")
    public = new_key(path)
    if as_json:
        emit({"key": str(path), "public": public})
    else:
        print(f"wrote {path} (keep it to yourself) and {path}.pub; who imports says --trust {public}")
