"""`gome report` finds its reports in the plugins that are installed, and knows none of them by name."""

from __future__ import annotations

from collections.abc import Sequence

import click
import pytest

from gome.kernel import discovery
from gome.kernel.discovery import Found
from gome.kernel.plugin import Plugin, Report
from tests.kernel.verbs import Gome, caller


@click.command("weather")
@click.argument("place", required=False)
@click.option("--everywhere", is_flag=True, help="All places.")
def weather(place: str | None, everywhere: bool) -> None:
    """What the weather was."""
    click.echo(f"weather of {place}, everywhere {everywhere}")


def fits(arguments: Sequence[str]) -> bool:
    return arguments[0].endswith(".sky") or "--everywhere" in arguments


@pytest.fixture
def gome(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gome:
    plugin = Plugin(name="sky", role="plugin", reports=(Report(weather, fits),))
    found = Found("gome.plugins", "plugin", "sky", "sky:plugin", "sky", "1", plugin)
    monkeypatch.setattr(discovery, "discover", lambda: [found])
    return caller(capsys)


def test_a_report_of_a_plugin_is_found_by_what_it_is_asked_about(gome: Gome) -> None:
    assert gome("report", "june.sky").out == "weather of june.sky, everywhere False\n"


def test_a_report_without_a_subject_is_found_by_its_option(gome: Gome) -> None:
    assert gome("report", "--everywhere").out == "weather of None, everywhere True\n"


def test_a_report_may_be_named_and_is_in_the_help(gome: Gome) -> None:
    assert gome("report", "weather", "rome").out.startswith("weather of rome")
    help = gome("report", "--help").out
    assert "traces" in help and "weather" in help and "What the weather was." in help


def test_a_subject_that_no_report_fits_is_said_with_what_there_is(gome: Gome) -> None:
    said = gome("report", "rome")
    assert said.code == 2 and "'rome'" in said.err and "traces, weather" in said.err


def test_reports_of_the_kernel_come_before_those_of_plugins(gome: Gome) -> None:
    assert "imported traces" in gome("report", "traces", "--help").out
