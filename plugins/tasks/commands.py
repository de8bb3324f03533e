"""`gome tasks`: list them, show one's page of facts, make one from a table, look for leaks.

Commands parse, call one function and print; tables are only read inside them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions, find, sources

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--target", default="", metavar="C", help="Column to predict."),
    click.option(
        "--test", type=click.Path(path_type=Path), metavar="FILE", help="Table whose rows are to be predicted."
    ),
    click.option("--metric", default="", metavar="M", help="Name of the metric (guessed from the target otherwise)."),
    click.option("--id", "id_", default="", metavar="C", help="Column that names rows (made otherwise)."),
    click.option("--group", default="", metavar="C", help="Rows with the same value stay together."),
    click.option("--time-column", default="", metavar="C", help="The latest rows are held out."),
    click.option("--drop", multiple=True, metavar="C", help="Column that models must not see; may be repeated."),
    click.option("--holdout", type=float, metavar="X", help="Share of the rows held out (default .2)."),
    click.option("--split-seed", type=int, metavar="N", help="Another split (default 7)."),
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _task_options(function: Function) -> Function:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _options(said: dict[str, Any]) -> TaskOptions:
    drop = tuple(name.strip() for text in said.pop("drop") for name in text.split(",") if name.strip())
    return TaskOptions(id=said.pop("id_"), drop=drop, **said)


def _prepared(spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
    click.echo(f"preparing {spec} …", err=True)
    return find(spec).prepare(spec, options, folder)


@click.group(invoke_without_command=True, epilog="First: gome tasks show ames, then gome run ames")
@_JSON
@click.pass_context
def tasks(context: click.Context, as_json: bool) -> None:
    """Tasks that gome knows, and your own: list, show, new, check."""
    if context.invoked_subcommand is None:
        _list(as_json)
    elif as_json:
        raise UsageError(f"--json stands behind the verb: gome tasks {context.invoked_subcommand} … --json")


@tasks.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """List what there is (also: gome tasks)."""
    _list(as_json)


def _list(as_json: bool) -> None:
    found = sources()
    if as_json:
        for source in found:
            for name, line in source.names():
                click.echo(json.dumps({"task": name, "source": source.name, "summary": line}, ensure_ascii=False))
        return
    width = max((len(name) for source in found for name, _ in source.names()), default=0)
    for source in found:
        click.echo(f"{source.name}: {source.summary}")
        for name, line in source.names():
            click.echo(f"  {name:<{width}}  {line}")


@tasks.command()
@click.argument("task")
@_task_options
@click.option(
    "--save", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Also write the tables there."
)
@_JSON
def show(task: str, save: Path | None, as_json: bool, **said: Any) -> None:
    """Print TASK's page of facts: a name from the list, a table, or a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        prepared = _prepared(task, _options(said), Path(scratch))
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            for name, path in prepared.files.items():
                shutil.copyfile(path, save / name)
            click.echo(f"wrote {' and '.join(prepared.files)} to {save}, without the answers", err=True)
    if as_json:
        facts = {
            "task": msgspec.to_builtins(prepared.task),
            "part": prepared.part,
            "references": msgspec.to_builtins(prepared.references),
            "notices": prepared.notices,
            "page": prepared.page,
        }
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        click.echo(prepared.page, nl=False)


@tasks.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Table to learn from.")
@_task_options
@click.option("--name", default="", help="Name of the task (default: the folder's).")
@click.option("--description", default="", help="What the table is about.")
@click.option("--force", is_flag=True, help="Replace a task.toml that is there.")
@_JSON
def new(folder: Path, train: Path, force: bool, as_json: bool, **said: Any) -> None:
    """Make FOLDER a task: copy the tables into it and write task.toml, saying what was guessed."""
    from gome.plugins.tasks.folder.file import new as make
    from gome.plugins.tasks.tables.prepare import Wish

    click.echo(f"reading {train} …", err=True)
    path, notices = make(folder, Wish(train=train, options=_options(said)), force=force)
    if as_json:
        click.echo(json.dumps({"file": str(path), "notices": notices}, ensure_ascii=False))
        return
    click.echo(f"wrote {path}")
    for notice in notices:
        click.echo(f"  {notice}")
    click.echo(f"next: look through {path}, then gome tasks check {_spelt(folder)}, then gome run {_spelt(folder)}")


def _spelt(folder: Path) -> str:
    """A folder as the folder source understands it: with a separator, so that it is no task's name."""
    return str(folder) if "/" in str(folder) or "\\" in str(folder) else f"./{folder}"


@tasks.command()
@click.argument("task")
@_task_options
@_JSON
@click.pass_context
def check(context: click.Context, /, task: str, as_json: bool, **said: Any) -> None:
    """Look for leaks in TASK: order, ids, duplicates, giveaway columns, drift, groups, time.

    Ends with 1 when there is a leak."""
    with tempfile.TemporaryDirectory() as scratch:
        prepared = _prepared(task, _options(said), Path(scratch))
        findings = find(task).check(prepared)
    for finding in findings:
        if as_json:
            click.echo(msgspec.json.encode(finding).decode())
        else:
            click.echo(str(finding))
    if not findings and not as_json:
        click.echo(f"nothing found: {prepared.task.rows_train:,} training rows, {prepared.task.rows_test:,} to predict")
    if any(finding.level == "leak" for finding in findings):
        context.exit(1)
