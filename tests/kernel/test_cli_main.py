"""The command itself: help, verbs of plugins, and one line and an exit code for every ending."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gome.kernel import cli
from gome.kernel.errors import Diverged, GomeError, LogUnreachable, UsageError
from tests import distribution

Ended = Callable[[BaseException], tuple[int, str, str]]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Runs a verb that raises, and returns the exit code and what was printed."""

    def call(error: BaseException, *flags: str) -> tuple[int, str, str]:
        @click.command("boom")
        @click.option("--json", "as_json", is_flag=True)
        def boom(as_json: bool) -> None:
            raise error

        monkeypatch.setattr(cli, "_contributed", lambda: {"boom": boom})
        with pytest.raises(SystemExit) as caught:
            cli.main(["boom", *flags])
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GomeError("it failed"), 1),
        (UsageError("it failed"), 2),
        (LogUnreachable("it failed"), 3),
        (Diverged("it failed"), 4),
        (ExceptionGroup("tasks", [ValueError("noise"), ExceptionGroup("more", [LogUnreachable("it failed")])]), 3),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(ended: Ended, error: Exception, code: int) -> None:
    assert ended(error) == (code, "", "gome: it failed\n")


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("tasks", [GomeError("noise"), KeyboardInterrupt()])]
)
def test_an_interruption_ends_with_130(ended: Ended, error: BaseException) -> None:
    code, out, err = ended(error)
    assert (code, out, err.strip()) == (130, "", "gome: interrupted")


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(ended: Ended) -> None:
    code, out, err = ended(ZeroDivisionError("division by zero"))
    assert (code, out) == (1, "")
    assert err.count("\n") == 1 and "ZeroDivisionError: division by zero" in err and "GOME_DEBUG=1" in err


def test_debug_shows_the_traceback(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_DEBUG", "1")
    _, _, err = ended(UsageError("it failed"))
    assert "Traceback (most recent call last)" in err and err.endswith("gome: it failed\n")


def test_a_secret_is_taken_out_of_whatever_an_error_says(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_NATS_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("GOME_DEBUG", "1")
    for error in (GomeError("token hunter2hunter2 is wrong"), RuntimeError("nats://hunter2hunter2@host")):
        assert "hunter2" not in "".join(map(str, ended(error)))


def test_a_message_of_several_lines_is_printed_as_one(ended: Ended) -> None:
    assert ended(GomeError("one\n  two")) == (1, "", "gome: one two\n")


def test_wrong_usage_names_the_help_that_helps() -> None:
    for arguments, told in (
        (["show"], "(see `gome show --help`)"),
        (["shwo"], "did you mean `gome show`?"),
        (["runs", "--jsn"], "--json"),
    ):
        done = subprocess.run([sys.executable, "-m", "gome.kernel.cli", *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import os, sys; os.close(1); os.dup2(os.pipe()[1], 1); from gome.kernel.cli import main; main(['plugins'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.stderr == ""


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_its_command_and_a_help_that_fits_a_screen(verb: str) -> None:
    command = cli.gome.get_command(click.Context(cli.gome), verb)
    assert command is not None and command.name == verb
    help = CliRunner().invoke(cli.gome, [verb, "--help"], terminal_width=100).output
    assert command.help and len(help.splitlines()) <= 45


def test_help_lists_every_verb_once() -> None:
    help = CliRunner().invoke(cli.gome, ["--help"]).output
    listed = re.findall(r"^  (\w+)  +\S", help.partition("Commands:")[2], re.MULTILINE)
    assert listed[: len(cli.VERBS)] == list(cli.VERBS) and "tasks" in listed


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert version("gome") in CliRunner().invoke(cli.gome, ["--version"]).output


def test_a_plugin_that_does_not_load_takes_no_verb_away(tmp_path: Path) -> None:
    distribution.install(tmp_path, "sick", {"gome.plugins": {"sick": "toy_sick:plugin"}})
    (tmp_path / "toy_sick.py").write_text("raise RuntimeError('out of order')\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "gome.kernel.cli"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, env=environ)
    assert done.returncode == 0 and "tasks" in done.stdout
    done = subprocess.run([*command, "plugins"], capture_output=True, text=True, env=environ)
    assert done.returncode == 0
    assert "plugin sick (toy_sick:plugin, from sick) does not load: RuntimeError: out of order" in done.stdout
