"""Reads what can be read of an RD-Agent log folder, as a traces file: JSON and text, never a pickle.

RD-Agent logs every object as a pickle, and unpickling runs whatever code the file names; so pickles are refused, one by
one and by name. What is read: JSON and text files below `Loop_<n>/` (a folder that was written out as JSON, with the
tags of the log as folders or file names), and workspaces, folders with a `main.py` (`scores.csv`, `mle_score.txt`,
`stdout.txt`, `EDA.md` and such beside it), which are what a loop leaves on disk besides. Workspaces do not say which
loop they belong to: they follow behind the loops in the order of their names. Links are not followed.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gome.kernel.errors import UsageError
from gome.kernel.importing.converted import Converted, named, plain
from gome.kernel.importing.fields import HIDDEN, KNOWN, SCENARIO, Unreadable, number_of, parse, words

PROGRAM = "main.py"
PICKLES = (".pkl", ".pickle")
TEXTS = (".json", ".txt", ".md", ".py", ".yaml", ".yml", ".log", ".csv", ".toml")
TABLES = ("submission.csv", "oof.csv", "train.csv", "test.csv", "sample_submission.csv")
"""Tables of rows, which are no part of what is said about a run."""
MOST = 8 << 20
"""Bytes at most of a file that is read."""
FILES = 200_000
NAMED = 20
"""Files that a report names one by one."""
_LOOP = re.compile(r"Loop_(\d{1,9})")
_PLACE = re.compile(r"[\d-]*|\d{4}-\d\d-\d\d.*")
"""Folders and files that are named after a process or a time."""


@dataclass
class _Part:
    """The readable files of one loop or workspace: relative path, text."""

    texts: dict[str, str] = field(default_factory=dict)


def is_log(folder: Path) -> bool:
    """Whether a folder looks like an RD-Agent log or a folder of its workspaces."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return False
    return any(
        _LOOP.fullmatch(n) or n in ("__session__", "RD-Agent_workspace") or (folder / n / PROGRAM).is_file()
        for n in names
    )


def read_log(folder: Path) -> Converted:
    """Read a log folder. Raises `UsageError` where nothing in it can be read."""
    loops: dict[int, _Part] = {}
    spaces: dict[str, _Part] = {}
    rest = _Part()
    pickles: list[str] = []
    others: list[str] = []
    for path in _files(folder):
        shown = path.relative_to(folder).as_posix()
        match = _LOOP.match(shown) if "/" in shown else None
        if path.suffix in PICKLES:
            pickles.append(shown)
        elif path.suffix not in TEXTS or path.name in TABLES or (text := _text(path)) is None:
            others.append(shown)
        elif match and shown[match.end()] == "/":
            loops.setdefault(int(match[1]), _Part()).texts[shown] = text
        elif (space := _space(folder, path)) is not None:
            spaces.setdefault(space, _Part()).texts[shown] = text
        else:
            rest.texts[shown] = text
    if not loops and not spaces:
        raise UsageError(
            f"nothing in {folder} can be imported: {_count(pickles, 'pickle')} and {_count(others, 'other file')} were "
            "not read. Pickles run code when they are read; write the log out as JSON with RD-Agent itself, or name "
            "the folder of its workspaces (git_ignore_folder/RD-Agent_workspace)"
        )
    facts = _facts(rest)
    found = Converted("rdagent", named(words(facts.pop("competition", ""), 80), folder.resolve().name))
    found.scenario = facts
    for number, part in sorted(loops.items()):
        found.loops[number] = _loop(part, found)
    for number, (_, part) in enumerate(sorted(spaces.items()), start=max(loops, default=-1) + 1):
        found.loops[number] = _loop(part, found)
    found.scenario.setdefault("metric_name", "metric")
    if "metric_direction" not in found.scenario:
        found.scenario["metric_direction"] = False
        found.notices.append("nothing says which way the metric is better; smaller is taken to be")
    found.rest = sorted(rest.texts.items())
    found.notices += _refused(pickles, "refused, since reading a pickle runs the code that it names")
    found.notices += _refused(others, "not read (no text, too large, or a table of rows)")
    if spaces:
        found.notices.append(f"{_count(list(spaces), 'workspace')} stand behind the loops in the order of their names")
    return found


def _count(what: list[str], name: str) -> str:
    return f"{len(what):,} {name}" + ("" if len(what) == 1 else "s")


def _refused(names: list[str], why: str) -> list[str]:
    more = [f"… and {len(names) - NAMED:,} more files {why}"] if len(names) > NAMED else []
    return [f"{name}: {why}" for name in names[:NAMED]] + more


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > FILES:
                raise UsageError(f"{folder} holds more than {FILES:,} files; name the folder of one run")
            yield path


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > MOST:
            return None
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def _space(folder: Path, path: Path) -> str | None:
    """The workspace that a file belongs to: the outermost folder on its way that holds a program."""
    below = path.relative_to(folder).parts[:-1]
    for depth in range(1, len(below) + 1):
        place = folder.joinpath(*below[:depth])
        if (place / PROGRAM).is_file():
            return place.relative_to(folder).as_posix()
    return None


def _tag(shown: str) -> str:
    """What a file of a loop is about: its folders and name without those of processes and times."""
    *folders, name = _LOOP.sub("", shown, count=1).strip("/").split("/")
    stem = name.rpartition(".")[0] or name
    return ".".join(part for part in (*folders, stem) if not _PLACE.fullmatch(part))


def _facts(rest: _Part) -> dict[str, Any]:
    """What the files outside of loops say about the task."""
    facts: dict[str, Any] = {}
    for shown, text in rest.texts.items():
        value = _value(shown, text)
        if isinstance(value, dict):
            facts.update({k: v for k, v in value.items() if k in KNOWN[SCENARIO]})
            if isinstance(value.get("competition"), str):
                facts["competition"] = value["competition"]
        elif isinstance(value, str) and shown.partition("/")[0].partition(".")[0] == "competition":
            facts["competition"] = value.strip()
    return facts


def _value(shown: str, text: str) -> Any:
    """A file's value: JSON where it is, else its text."""
    if not shown.endswith((".json", ".txt")):
        return text
    try:
        return parse(text.encode())
    except Unreadable:
        return text


def _loop(part: _Part, found: Converted) -> bytes:
    """A loop or workspace as an iteration of a traces file. What speaks of hidden grades is for the vault."""
    fields: dict[str, Any] = {}
    files: dict[str, str] = {}
    hidden: dict[str, str] = {}
    for shown, text in sorted(part.texts.items()):
        value, tag, name = _value(shown, text), _tag(shown), shown.rpartition("/")[2]
        if "mle_score" in tag:
            fields["test_report"] = value
            continue
        if any(f'"{word}"' in text for word in HIDDEN):
            hidden[shown] = text
        elif name == PROGRAM:
            fields["code"] = text
        else:
            files[shown] = text
        if shown.endswith(".json") and isinstance(value, str):
            found.faults.append(f"{shown} is no JSON; it is kept as text")
        elif name == "scores.csv":
            if table := _scores(text):
                fields["valid_score"] = table
                found.scenario.setdefault("metric_name", next(iter(table)))
        else:
            fields.update(_said(tag, value))
    if files:
        fields["files"] = files
    if hidden:
        fields["grading_report"] = hidden
    return plain(fields)


def _said(tag: str, value: Any) -> dict[str, Any]:
    """The fields that one logged object gives, by the tag it was logged with."""
    if tag.endswith("feedback") and "evolving" not in tag:
        return {"feedback": value}
    if not isinstance(value, dict) or "evo_loop" in tag:
        return {}
    said: dict[str, Any] = {}
    if (hypothesis := value.get("hypothesis")) is not None:
        said["final_hypothesis"] = hypothesis
    tasks = value.get("pending_tasks_list") or value.get("sub_tasks") or value.get("task")
    while isinstance(tasks, list) and tasks:
        tasks = tasks[0]
    if isinstance(tasks, dict):
        said["task"] = tasks
    space = value.get("experiment_workspace")
    texts = space.get("file_dict") if isinstance(space, dict) else value.get("file_dict")
    if isinstance(texts, dict) and isinstance(texts.get(PROGRAM), str):
        said["code"] = texts[PROGRAM]
    info = value.get("running_info")
    facts = info if isinstance(info, dict) else value
    if (seconds := number_of(facts.get("running_time"))) is not None:
        said["running_time"] = seconds
    if (result := facts.get("result", value.get("valid_score"))) is not None:
        said["valid_score"] = result
    for name in ("base_code", "code", "sota_hypothesis", "final_hypothesis"):
        if name in value:
            said[name] = value[name]
    return said


def _scores(text: str) -> dict[str, dict[str, float]]:
    """`scores.csv` as metric → model → score; empty where it is no such table."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error:
        return {}
    if not rows or len(rows[0]) < 2:
        return {}
    found = {row[0].strip(): number_of(row[1]) for row in rows[1:] if len(row) > 1}
    return {rows[0][1].strip(): {name: value for name, value in found.items() if value is not None}}
