"""From a pipeline and a task to the text of one self-contained program; pure, called by `decide.py`.

A program is the constants of the task, those definitions of the fragments that the pipeline reaches, the members as
data, and `main`. Fragments are read once when this module is imported; what a definition needs is found from the names
in it, so nothing that is not used is written.

The program predicts test rows by the mean over its fold models. With several pairs in SEEDS and PARTITIONS (see
`gome.events.with_seeds` and `render_final`) it adds the pairs' predictions in order and divides once by their number:
the very floats of `sum(submissions) / len(submissions)` over the single runs in that order.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gome.events.pipeline import (
    Blend,
    Booster,
    HistBooster,
    Member,
    Pipeline,
    Tfidf,
    check_task,
    family,
    member_key,
    normalise,
    pipeline_key,
    with_seeds,
)
from gome.events.task import Task
from gome.plugins.mutator.pipeline.calls import Call, MemberCalls, blend_call, member_calls, metric_function
from gome.plugins.mutator.pipeline.fragments import ORDER
from gome.plugins.mutator.pipeline.specialise import specialise

LIMIT = 60_000
"""Longest program in bytes; more would not travel inline in an event."""

WIDTH = 110
_HERE = Path(__file__).parent
_SOURCES = {name: (_HERE / "fragments" / f"{name}.py").read_text() for name in ORDER}
_OWN = "".join((_HERE / name).read_text() for name in ("render.py", "calls.py", "specialise.py"))

RENDERER = "sha256-" + hashlib.sha256((_OWN + "".join(_SOURCES[name] for name in ORDER)).encode()).hexdigest()
"""Digest of the renderer's source and its fragments: what a program's trust rests on."""


@dataclass(frozen=True)
class _Definition:
    section: str
    names: tuple[str, ...]
    text: str
    uses: frozenset[str]


@dataclass(frozen=True)
class _Library:
    definitions: tuple[_Definition, ...]
    imports: dict[str, tuple[str, str, str]]
    titles: dict[str, str]


def _names_in(node: ast.AST) -> frozenset[str]:
    """Names that a definition takes from outside: what it mentions but does not bind itself."""
    bound: set[str] = set()
    named: set[str] = set()
    waiting = [node]
    while waiting:  # one pass with a plain list: this is most of what rendering takes, and replay renders again
        here = waiting.pop()
        kind = type(here)
        if kind is ast.Name:
            named.add(here.id)  # type: ignore[attr-defined]
            if type(here.ctx) is ast.Store:  # type: ignore[attr-defined]
                bound.add(here.id)  # type: ignore[attr-defined]
            continue
        if kind is ast.Constant:
            continue
        if kind is ast.arg:
            bound.add(here.arg)  # type: ignore[attr-defined]
        for name in here._fields:
            value = getattr(here, name, None)
            if isinstance(value, ast.AST):
                waiting.append(value)
            elif isinstance(value, list):
                waiting.extend(v for v in value if isinstance(v, ast.AST))
    return frozenset(named - bound)


@lru_cache(maxsize=32)
def _library(facts: tuple[tuple[str, str | bool], ...]) -> _Library:
    """Parse the fragments into definitions that suit the facts, imports (bound name → module, name, alias), titles."""
    definitions: list[_Definition] = []
    imports: dict[str, tuple[str, str, str]] = {}
    titles: dict[str, str] = {}
    for section in ORDER:
        source = _SOURCES[section]
        lines = source.splitlines()
        tree = ast.parse(source)
        titles[section] = (ast.get_docstring(tree) or section).splitlines()[0]
        for node in tree.body:
            match node:
                case ast.Import(names=aliases):
                    for alias in aliases:
                        imports[alias.asname or alias.name] = (alias.name, "", alias.asname or "")
                case ast.ImportFrom(module=module, names=aliases):
                    if module and module != "__future__" and not module.startswith("gome."):
                        for alias in aliases:
                            imports[alias.asname or alias.name] = (module, alias.name, alias.asname or "")
                case ast.FunctionDef() | ast.ClassDef():
                    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                    text = specialise("\n".join(lines[first - 1 : node.end_lineno]), dict(facts))
                    definitions.append(_Definition(section, (node.name,), text, _names_in(ast.parse(text))))
                case ast.Assign() | ast.AnnAssign():
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    names = tuple(t.id for t in targets if isinstance(t, ast.Name))
                    text = specialise("\n".join(lines[node.lineno - 1 : node.end_lineno]), dict(facts))
                    definitions.append(_Definition(section, names, text, _names_in(ast.parse(text)) | set(names)))
                case _:
                    pass
    return _Library(tuple(definitions), imports, titles)


def _reached(library: _Library, roots: Iterable[str]) -> tuple[list[_Definition], set[str]]:
    """Return the definitions that the roots need, in the fragments' order, and every name that is used."""
    by_name = {name: d for d in library.definitions for name in d.names}
    wanted: set[str] = set()
    used: set[str] = set()
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name in used:
            continue
        used.add(name)
        if name in by_name and name not in _DATA:
            wanted.add(name)
            queue.extend(by_name[name].uses)
    return [d for d in library.definitions if wanted.intersection(d.names)], used


_DATA = frozenset({"MEMBERS", "BLEND", "SCORE"})
"""Names in the fragments that stand for what the renderer writes itself."""


def _import_lines(library: _Library, used: set[str]) -> list[str]:
    plain: dict[bool, list[str]] = {True: [], False: []}
    grouped: dict[tuple[bool, str], list[str]] = {}
    for bound, (module, name, alias) in sorted(library.imports.items()):
        if bound not in used:
            continue
        standard = module.split(".")[0] in sys.stdlib_module_names
        if name:
            grouped.setdefault((standard, module), []).append(f"{name} as {alias}" if alias else name)
        else:
            plain[standard].append(f"import {module} as {alias}" if alias else f"import {module}")
    lines = ["from __future__ import annotations"]
    for standard in (True, False):
        lines.append("")
        lines += sorted(plain[standard])
        for (_, module), names in sorted((k, v) for k, v in grouped.items() if k[0] == standard):
            line = f"from {module} import {', '.join(sorted(names))}"
            if len(line) > WIDTH:
                line = f"from {module} import (\n" + "".join(f"    {n},\n" for n in sorted(names)) + ")"
            lines.append(line)
    return lines


def _flow(head: str, items: Sequence[str], tail: str) -> str:
    """Lay items out on one line, or indented on several."""
    line = head + ", ".join(items) + tail
    if len(line) <= WIDTH:
        return line
    rows, row = [], "   "
    for item in items:
        if len(row) + len(item) + 2 > WIDTH:
            rows.append(row)
            row = "   "
        row += f" {item},"
    return "\n".join([head, *rows, row, tail])


def _facts(task: Task) -> tuple[tuple[str, str | bool], ...]:
    kinds = {c.kind for c in task.columns}
    return (
        ("KIND", task.kind),
        ("TEXT", "text" in kinds),
        ("TIME", "time" in kinds),
        ("CATEGORY", "category" in kinds),
    )


def _constants(task: Task, used: set[str]) -> str:
    kinds = {
        "NUMERIC": [c.name for c in task.columns if c.kind == "numeric"],
        "CATEGORY": [c.name for c in task.columns if c.kind == "category"],
        "TEXT": [c.name for c in task.columns if c.kind == "text"],
        "TIME": [c.name for c in task.columns if c.kind == "time"],
    }
    lines = [
        f"KIND = {_quoted(task.kind)}",
        f"METRIC = {_quoted(task.metric.name)}",
        f"GREATER = {task.metric.greater_is_better}",
        f"ID, TARGET = {_quoted(task.id)}, {_quoted(task.target)}",
        _flow("CLASSES: list[str] = [", [_quoted(c) for c in task.classes], "]"),
    ]
    lines += [_flow(f"{name}: list[str] = [", [_quoted(c) for c in there], "]") for name, there in kinds.items()]
    lines += [
        "SEEDS = [0]",
        "PARTITIONS = [0]",
        'THREADS = int(os.environ.get("GOME_THREADS", "1"))',
        'DEBUG = os.environ.get("GOME_DEBUG") == "1"',
        "HERE = Path(__file__).resolve().parent",
    ]
    return "\n".join(line for line in lines if not line.startswith("GREATER") or "GREATER" in used)


def _quoted(text: str) -> str:
    quoted = repr(text)
    return f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in quoted else quoted


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return repr(value)


def _call(function: str, options: dict[str, Any], indent: int) -> str:
    if not options:
        return f"({function}, {{}})"
    items = [f"{_quoted(name)}: {_value(value)}" for name, value in options.items()]
    line = f"({function}, {{{', '.join(items)}}})"
    if len(line) + indent <= WIDTH:
        return line
    pad = " " * indent
    rows, row = [], pad + "   "
    for item in items:
        if len(row) + len(item) + 2 > WIDTH and row.strip():
            rows.append(row)
            row = pad + "   "
        row += f" {item},"
    return "\n".join([f"({function}, {{", *rows, row, f"{pad}}})"])


def _steps_text(steps: Sequence[Call], indent: int) -> str:
    """A list of calls, one per line; the closing bracket stands at `indent`."""
    pad = " " * indent
    lines = [f"{pad}    {_call(function, options, indent + 4)}," for function, options in steps]
    return "\n".join(["[", *lines, pad + "]"])


def _member_text(member: Member, calls: MemberCalls, shared: dict[str, str]) -> str:
    lines = [f"    Member(\n        key={_quoted(member_key(member))},\n        family={_quoted(family(member))},"]
    for name in ("model", "categories", "numbers"):
        lines.append(f"        {name}={_call(*calls.single[name], 8)},")
    for name, steps in calls.several.items():
        if steps:
            lines.append(f"        {name}={shared.get(_steps_text(steps, 0)) or _steps_text(steps, 8)},")
    if calls.target != "plain_target":
        lines.append(f"        target={calls.target},")
    if member.bag > 1:
        lines.append(f"        bag={member.bag},")
    if member.temperature:
        lines.append("        calibrate=temperature,")
    return "\n".join([*lines, "    ),"])


def _data(pipeline: Pipeline, task: Task) -> str:
    """The metric, the members and the blend; lists of steps that several members share are said once."""
    calls = [member_calls(member, task) for member in pipeline.members]
    said = [_steps_text(steps, 0) for c in calls for steps in c.several.values() if steps]
    repeated = [text for text in dict.fromkeys(said) if said.count(text) > 1]
    shared = {text: f"STEPS_{number}" for number, text in enumerate(repeated, 1)}
    members = "\n".join(_member_text(m, c, shared) for m, c in zip(pipeline.members, calls, strict=True))
    function, to, back, options = blend_call(pipeline.blend, task)
    shown = ", ".join(f"{_quoted(k)}: {_value(v)}" for k, v in options.items())
    return "\n".join(
        [
            f"SCORE = {metric_function(task.metric.name)}",
            *(f"{name} = {text}" for text, name in shared.items()),
            f"MEMBERS = [\n{members}\n]",
            f"BLEND = ({function}, {to}, {back}, {{{shown}}})",
        ]
    )


def _summary(pipeline: Pipeline) -> str:
    names = [family(m) for m in pipeline.members]
    if len(names) == 1:
        return f"One {names[0]}"
    counted = ", ".join(f"{names.count(n)} × {n}" if names.count(n) > 1 else n for n in dict.fromkeys(names))
    return f"Blend ({_blend_words(pipeline.blend)}) of {len(names)} members ({counted})"


def _blend_words(blend: Blend) -> str:
    return blend.kind + ("" if blend.space == "auto" else f" on {blend.space} scale")


def _docstring(pipeline: Pipeline, task: Task) -> str:
    direction = "higher" if task.metric.greater_is_better else "lower"
    return (
        f'"""{_summary(pipeline)} for the task {task.name}; {task.metric.name}, {direction} is better.\n'
        f"\n"
        f"    python program.py [--data FOLDER]                  default: the folder input beside this file\n"
        f"    python program.py --train A.csv --test B.csv --out C.csv\n"
        f"\n"
        f"The folder holds train.csv, test.csv and folds.csv. Written here: oof.csv (training rows, by models\n"
        f"that have not seen their fold), submission.csv (test rows, mean over the fold models), scores.csv,\n"
        f"diagnostics.json, members/. GOME_SEED, GOME_PARTITION and GOME_THREADS override SEEDS, PARTITIONS and\n"
        f"THREADS, unless several pairs are given. Equal inputs, seeds and threads give equal bytes.\n"
        f"Pipeline {pipeline_key(pipeline)}, rendered by gome.\n"
        f'"""'
    )


def render(pipeline: Pipeline, task: Task) -> str:
    """Return the program of a pipeline for a task.

    ValueError, readable, if the pipeline does not suit the task or the program would be longer than `LIMIT`.
    """
    pipeline = normalise(pipeline)
    check_task(pipeline, task)
    data = _data(pipeline, task)
    needed = _names_in(ast.parse(data))
    library = _library(_facts(task))
    definitions, used = _reached(library, ["main", *needed])
    titles = library.titles
    parts = [
        _docstring(pipeline, task),
        "\n".join(_import_lines(library, used | {"os", "Path"})),
        _constants(task, used),
    ]
    section = ""
    for definition in definitions:
        if definition.section != section:
            section = definition.section
            if section == "main":
                parts.append(f"\n{data}")
            parts.append(f"\n# {titles[section]}")
        gap = "\n" if definition.text.startswith(("def ", "class ", "@")) else ""
        parts.append(gap + definition.text)
    text = "\n\n".join(parts) + '\n\n\nif __name__ == "__main__":\n    main()\n'
    if len(text.encode()) > LIMIT:
        raise ValueError(f"the program would be {len(text.encode())} bytes long, more than {LIMIT}: use fewer members")
    return text


def render_final(pipeline: Pipeline, task: Task, seeds: Sequence[int], partitions: Sequence[int]) -> str:
    """Return the program that runs all (seed, partition) pairs in order and averages their predictions."""
    return with_seeds(render(pipeline, task), seeds, partitions)


_COST = {
    "trees": 1.5,
    "ridge": 0.2,
    "elastic_net": 0.5,
    "huber": 0.5,
    "svm": 0.4,
    "kernel_ridge": 0.4,
    "gaussian_process": 1.5,
    "knn": 0.1,
    "discriminant": 0.1,
    "naive_bayes": 0.05,
    "mlp": 1.0,
    "network": 4.0,
}
"""Seconds per fold on 2,000 rows and 80 columns, measured on one core."""

_CUBIC = frozenset({"svm", "kernel_ridge", "gaussian_process"})


def estimate_seconds(pipeline: Pipeline, task: Task, folds: int = 5) -> float:
    """Return a rough forecast of a program's seconds on one core, start-up included, cached members not."""
    seconds = 1.5
    rows, columns, classes = task.rows_train, len(task.columns), max(1, len(task.classes) - 1)
    for member in pipeline.members:
        model = member.model
        if isinstance(model, (Booster, HistBooster)):
            # Early stopping comes at about 20 / learning rate; the refit does the same number of rounds again.
            share = model.colsample if isinstance(model, Booster) else model.max_features
            turns = min(model.rounds, 20 / model.learning_rate) * (1 + member.bag)
            fold = turns * classes * (2e-4 + 1.6e-8 * rows * columns * share)
        else:
            growth = (rows / 2000) ** (2.2 if family(member) in _CUBIC else 1.0)
            fold = _COST[family(member)] * growth * member.bag * (1 + 0.1 * classes)
        seconds += folds * (fold + 0.05 * rows / 2000)
        seconds += sum(rows / 2000 for step in member.features if isinstance(step, Tfidf))
    return round(seconds, 2)
