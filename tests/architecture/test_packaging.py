"""What is in the checkout is what people install: packages, data files, entry points, versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from gome.kernel.plugin import GROUPS
from tests.architecture.tree import PARTS, ROOT, project

IGNORED = ("__pycache__", ".DS_Store")


def shipped_files() -> set[str]:
    """Files of the package folders under the paths that they have in a wheel."""
    return {
        f"gome/{path.relative_to(ROOT).as_posix()}"
        for part in PARTS
        for path in (ROOT / part).rglob("*")
        if path.is_file() and not any(name in path.parts for name in IGNORED)
    }


def test_the_top_level_holds_four_folders_and_what_tools_look_for_there() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("this is no checkout of git")
    folders = {*PARTS, "tests", ".ci", ".typing"}
    tools = {".gitignore", "LICENSE", "Makefile", "compose.yaml", "constraints.txt", "pyproject.toml"}
    found = {line.partition("/")[0] for line in tracked.stdout.splitlines()}
    assert found == folders | tools | {"CITATION.cff", "README.md"}


def test_every_folder_with_an_init_is_listed_as_a_package() -> None:
    # An editable install hides a forgotten one: it is imported from the checkout all the same.
    folders = {
        "gome." + ".".join(path.parent.relative_to(ROOT).parts)
        for part in PARTS
        for path in (ROOT / part).rglob("__init__.py")
    }
    listed = project()["tool"]["setuptools"]["packages"]
    assert sorted(folders) == sorted(listed)


def test_every_folder_with_python_files_is_a_package() -> None:
    holding = {path.parent for part in PARTS for path in (ROOT / part).rglob("*.py")}
    assert not [str(folder) for folder in holding if not (folder / "__init__.py").exists()]


def test_entry_point_groups_are_the_ones_the_kernel_reads() -> None:
    assert set(project()["project"]["entry-points"]) <= set(GROUPS.values())


@pytest.mark.parametrize(
    ("group", "name"), [(g, n) for g, entries in project()["project"]["entry-points"].items() for n in entries]
)
def test_an_entry_point_loads_from_the_installed_metadata(group: str, name: str) -> None:
    (entry,) = (e for e in entry_points(group=group, name=name) if e.dist and e.dist.name == "gome")
    assert entry.value == project()["project"]["entry-points"][group][name], "install again: pip install -e ."
    assert entry.load() is not None


def test_constraints_pin_every_dependency_to_one_version_and_name_no_place() -> None:
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert [x for x in lines if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][a-z0-9.]*", x)] == []
    pinned = {x.partition("==")[0] for x in lines}
    meta = project()["project"]
    wanted = [*meta["dependencies"], *meta["optional-dependencies"]["suite"], *meta["optional-dependencies"]["torch"]]
    wanted += [x for x in meta["optional-dependencies"]["test"] if not x.startswith("gome[")]
    names = {re.split(r"[^A-Za-z0-9_.-]", x, maxsplit=1)[0].lower().replace("_", "-") for x in wanted}
    assert names <= pinned


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    names = ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", "compose.yaml")
    for name in names:
        text = (ROOT / name).read_text()
        assert not re.search(r"file://|--index-url|--find-links|/home/|/opt/|/root/", text), name


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from a copy of the checkout (a build leaves files behind)."""
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "checkout"
    leave = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "gome-*-*", "__pycache__", "tests")
    shutil.copytree(ROOT, copy, ignore=leave)
    # setuptools replaces sys.argv while it builds.
    build = "import sys, setuptools.build_meta as b; to = sys.argv[1]; b.build_wheel(to); b.build_sdist(to)"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_files_of_the_package_folders(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert names == shipped_files()


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.removeprefix("gome/") for name in shipped_files()} <= inside
    assert {"pyproject.toml", "README.md", "LICENSE"} <= inside
