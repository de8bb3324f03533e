"""`task.toml`: reads one, with the line in every complaint, and writes one from tables, saying what was guessed.

The keys are the fields of `TaskFile`; tables are named relative to the file. Tables themselves are the business of
`gome.plugins.tasks.tables.prepare`.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec

from gome.events import ColumnKind, Task, TaskKind
from gome.kernel.errors import UsageError
from gome.kernel.tasks import SPLIT_SEEDS, TaskOptions
from gome.plugins.tasks.tables.prepare import HOLDOUT, SEED, Wish, prepare


class TaskFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a task.toml may say. Only `train` and `target` must be there; what is left out is guessed."""

    train: str
    target: str
    test: str = ""
    name: str = ""
    description: str = ""
    source: str = ""
    kind: TaskKind | None = None
    metric: str = ""
    id: str = ""
    group: str = ""
    time_column: str = ""
    drop: tuple[str, ...] = ()
    holdout: float | None = None
    split_seed: Annotated[int, msgspec.Meta(ge=SPLIT_SEEDS[0], le=SPLIT_SEEDS[-1])] | None = None
    columns: dict[str, ColumnKind] = {}
    notes: dict[str, str] = {}


def read_wish(path: Path, options: TaskOptions) -> Wish:
    """Read a task.toml; `options` win over it. `UsageError` names the file and, where there is one, the line."""
    if not path.exists():
        raise UsageError(
            f"{path} does not exist; write it with `gome tasks new {path.parent} --train TABLE --target COLUMN`"
        )
    try:
        text = path.read_text(encoding="utf-8")
        said = msgspec.convert(tomllib.loads(text), TaskFile)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}; save it as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}; texts stand in quotes, lists in brackets") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}{_explained(str(error), text)}") from error
    folder = path.parent
    merged = TaskOptions(
        target=options.target or said.target,
        test=options.test or (folder / said.test if said.test else None),
        metric=options.metric or said.metric,
        id=options.id or said.id,
        group=options.group or said.group,
        time_column=options.time_column or said.time_column,
        drop=options.drop or said.drop,
        split_seed=said.split_seed if options.split_seed is None else options.split_seed,
        holdout=said.holdout if options.holdout is None else options.holdout,
        name=options.name or said.name or folder.resolve().name,
        description=options.description or said.description,
    )
    kind = said.kind if merged.target == said.target else None
    return Wish(
        train=folder / said.train,
        options=merged,
        kind=kind,
        kinds=said.columns,
        notes=said.notes,
        source=said.source,
    )


def _explained(message: str, text: str) -> str:
    """Put msgspec's complaint in words, with the line of the key it is about."""
    known = TaskFile.__struct_fields__
    if found := re.search(r"unknown field `(.+?)`", message):
        near = difflib.get_close_matches(found[1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(known)
        return f"{_line(found[1], text)}: unknown key {found[1]!r}; {hint}"
    if found := re.search(r"missing required field `(.+?)`", message):
        return f': the key {found[1]!r} is missing; add a line {found[1]} = "…"'
    if found := re.search(r"^(.*?) - at `\$\.(\w+)", message):
        return f"{_line(found[2], text)}: {found[2]}: {found[1][0].lower()}{found[1][1:]}; correct the value"
    return f": {message}; correct it"


def _line(key: str, text: str) -> str:
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*\[?[\"']?{re.escape(key)}[\"']?\s*[=.\]]", line):
            return f", line {number}"
    return ""


def quoted(text: str) -> str:
    """Return a TOML basic string (its escapes are those of JSON but for DEL)."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def written(wish: Wish, task: Task, notices: tuple[str, ...]) -> str:
    """Return the text of a task.toml that prepares `task` again, with a comment beside each guess.

    A template rather than a TOML writer: the comments are the point.
    """
    options = wish.options
    why = {notice.split(" ", 1)[0]: notice.split(": ", 1)[-1] for notice in notices if ": " in notice}

    def optional(key: str, value: str, example: str, meaning: str) -> str:
        return f"{key} = {quoted(value)}" if value else f"# {key} = {example}  # {meaning}"

    lines = [
        "# A task for gome. Lines that start with # are not said; what is not said is guessed.",
        f"name = {quoted(task.name)}",
        f"description = {quoted(options.description)}  # what the table is about; shown to the reasoner",
        f"train = {quoted(wish.train.name)}",
        f"test = {quoted(options.test.name)}"
        if options.test
        else '# test = "test.csv"  # rows to predict, without target',
        f"target = {quoted(task.target)}",
        f"kind = {quoted(task.kind)}  # guessed: {why['kind']}"
        if why["kind"] != "as given"
        else f"kind = {quoted(task.kind)}",
        f"metric = {quoted(task.metric.name)}"
        + (f"  # guessed: {why['metric']}" if why["metric"] != "as given" else ""),
    ]
    made = why.get("id", "").startswith("made")
    if made:
        lines.append('# id = "…"  # guessed: none, rows are numbered')
    else:
        lines.append(f"id = {quoted(task.id)}" + (f"  # guessed: {why['id']}" if "id" in why else ""))
    lines += [
        optional("group", options.group, '"customer"', "rows of one group stay together"),
        optional("time_column", options.time_column, '"date"', "the latest rows are held out"),
        f"drop = [{', '.join(map(quoted, options.drop))}]"
        if options.drop
        else "# drop = []  # columns that models must not see (known too late, ids)",
    ]
    if options.test is None:
        lines += [f"holdout = {options.holdout or HOLDOUT}  # share of the rows that is held out and graded"]
    seed = SEED if options.split_seed is None else options.split_seed
    lines += [f"split_seed = {seed}", "", "[columns]  # guessed: numeric, category, text or time"]
    for column in task.columns:
        lines.append(f"{_key(column.name)} = {quoted(column.kind)}" + (f"  # {column.note}" if column.note else ""))
    lines += ["", "[notes]  # what a modeller should know: units, codes, traps", '# "area" = "square metres"', ""]
    return "\n".join(lines)


def new(folder: Path, wish: Wish, *, force: bool = False) -> tuple[Path, tuple[str, ...]]:
    """Make `folder` a task: copy the tables into it, write its task.toml, prepare it once; returns file and notices.

    `UsageError` if there is a task.toml already (unless `force`) or if the tables make no task.
    """
    path = folder / "task.toml"
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; edit it, or replace it with --force")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; name another one")
    if wish.options.test is not None and wish.options.test.name == wish.train.name:
        raise UsageError(
            f"training and test table are both called {wish.train.name!r}; rename one, they go into one folder"
        )
    if not wish.options.name:
        wish = replace(wish, options=replace(wish.options, name=folder.resolve().name))
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(wish, Path(scratch))
    folder.mkdir(parents=True, exist_ok=True)
    for table in (wish.train, wish.options.test):
        if table is None:
            continue
        there = folder / table.name
        if not there.exists():
            shutil.copyfile(table, there)
        elif not there.samefile(table) and there.read_bytes() != table.read_bytes():
            raise UsageError(f"{there} exists already and is another table; rename {table} or that one")
    path.write_text(written(wish, prepared.task, prepared.notices), encoding="utf-8")
    return path, prepared.notices
