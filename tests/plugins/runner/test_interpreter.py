"""Another interpreter for programs: shown to them, asked for its versions, refused when it is none."""

from __future__ import annotations

import json
import sys
import venv
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gome.kernel.errors import SandboxUnavailable
from gome.plugins.runner.sandbox.interpreter import interpreter
from gome.plugins.runner.sandbox.settings import settings_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a module of its own and none of our libraries."""
    folder = tmp_path_factory.mktemp("other") / "env"
    venv.create(folder, symlinks=True)
    library = next((folder / "lib").glob("python3*")) / "site-packages"
    (library / "only_here.py").write_text("VALUE = 42\n")
    return folder / "bin" / "python"


async def test_programs_run_by_the_interpreter_of_another_environment(bench: Any, outputs: str, other: Path) -> None:
    bench.settings["python"] = str(other)
    program = outputs + "import importlib.util, json, sys, only_here\n"
    program += "print(json.dumps([sys.executable, only_here.VALUE, importlib.util.find_spec('pandas')]))"
    done = await bench.run(program)
    assert (done.error, done.warm, set(done.versions)) == ("", False, {"python"})
    assert json.loads(str(done.stdout)) == ["python", 42, None], "its path is cleaned from what it prints"


async def test_errors_name_no_path_of_another_environment(bench: Any, other: Path) -> None:
    bench.settings["python"] = str(other)
    done = await bench.run("import json\njson.loads('{')")
    assert "json/decoder.py" in done.error and str(other.parents[2]) not in done.error + str(done.stderr)


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("/nowhere/python", "does not run as a Python"),
        ("/bin/true", "does not run as a Python"),
        ("/bin/false", "it said nothing"),
    ],
)
async def test_what_is_no_interpreter_is_refused_by_name(bench: Any, python: str, says: str) -> None:
    bench.settings["python"] = python
    with pytest.raises(SandboxUnavailable, match=says):
        await bench.run("")


def test_a_path_that_depends_on_where_one_stands_is_no_setting() -> None:
    with pytest.raises(msgspec.ValidationError, match="python"):
        settings_of({"python": "python3"})


def test_gomes_own_interpreter_needs_no_question() -> None:
    assert interpreter() == interpreter(sys.executable)
    assert interpreter().ours and "numpy" in interpreter().versions
