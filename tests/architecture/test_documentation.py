"""Documentation that cannot go stale: the catalogue of events, exit codes, docstrings, the pages' own claims."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from gome.events import TYPES
from gome.kernel import catalogue, errors
from gome.kernel.plugin import GROUPS
from tests.architecture.tree import PARTS, ROOT, module_paths, project, public_nodes, tree_of

PROGRAMS = "plugins/mutator/pipeline/fragments"
"""Text of the programs that gome writes; its style is the programs'."""


def test_the_catalogue_of_events_is_what_the_types_say() -> None:
    assert (ROOT / "events" / "README.md").read_text(encoding="utf-8") == catalogue.page(), "run `make fix`"


def test_every_event_type_is_in_the_catalogue() -> None:
    headings = set(re.findall(r"^### (\w+)", (ROOT / "events" / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {kind.__name__ for kind in TYPES} <= headings


def test_every_event_type_has_a_docstring_of_its_own() -> None:
    assert not [kind.__name__ for kind in TYPES if "__doc__" not in vars(kind) or not kind.__doc__]


@pytest.mark.parametrize("part", PARTS)
def test_every_module_says_what_it_is_for(part: str) -> None:
    silent = [p.relative_to(ROOT).as_posix() for p in module_paths(part) if not ast.get_docstring(tree_of(p))]
    assert not silent


@pytest.mark.parametrize("part", PARTS)
def test_public_classes_and_functions_have_docstrings(part: str) -> None:
    silent = [
        f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'lineno', 0)} {name}"
        for path in module_paths(part)
        if not path.relative_to(ROOT).as_posix().startswith(PROGRAMS)
        for name, node, text in public_nodes(path)
        # A method may be explained by its class, or by the protocol that it implements.
        if not text and "." not in name
    ]
    assert not silent, "\n".join(silent)


def _exit_codes() -> dict[str, int]:
    return {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.GomeError)
    }


def test_the_tree_of_errors_shows_every_error_with_its_exit_code() -> None:
    drawn = {name: int(code) for name, code in re.findall(r"(\w+) +exit (\d)", errors.__doc__ or "")}
    assert drawn == _exit_codes()


def test_every_exit_code_is_in_the_help_and_in_the_readme() -> None:
    from click.testing import CliRunner

    from gome.kernel.cli import gome

    help = CliRunner().invoke(gome, ["--help"]).output
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for code in sorted({0, 130, *_exit_codes().values()}):
        assert re.search(rf"\b{code} [a-z]", help), f"{code} is not in gome --help"
        assert re.search(rf"\b{code} [a-z]", readme), f"{code} is not in README.md"


def test_every_group_of_entry_points_is_in_the_page_for_plugin_authors() -> None:
    page = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    assert not [group for group in GROUPS.values() if f"`{group}`" not in page]


def test_the_changelog_has_the_version_that_is_installed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    newest = re.search(r"^### (\d+\.\d+\.\d+)", readme.partition("## Changelog")[2], re.MULTILINE)
    assert newest, "README.md has no section `## Changelog` with a version"
    assert newest[1] == project()["project"]["version"]


def test_every_guarantee_names_a_test_that_exists() -> None:
    page = (ROOT / "kernel" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert named
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in _text(file)]
    assert not missing, "\n".join(missing)


def _text(file: str) -> str:
    path = ROOT / file
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("page", ["README.md", "events/README.md", "kernel/README.md", "plugins/README.md"])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (folder / link).exists()]
