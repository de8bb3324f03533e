"""`gome report`: figures over many runs. `gome report traces` recomputes a paper's results from imported traces; other
reports are offered by plugins (`Plugin.reports`), which say themselves what they can report on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import complete, json_option, must_exist, nats_option, opened
from gome.kernel.cli.output import emit, say, table
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.kernel.importing.figures import Rate, TraceFigures
    from gome.kernel.plugin import Report


class _Reports(click.Group):
    """The kernel's own reports, and those of plugins by their names or by what the arguments are."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys([*self.commands, *_offered()]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        offered = _offered().get(cmd_name)
        return offered.command if offered else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in ("-h", "--help") and self.get_command(ctx, args[0]) is None:
            name = next((name for name, report in _offered().items() if report.matches(tuple(args))), None)
            if name is None:
                have = ", ".join(self.list_commands(ctx))
                raise UsageError(f"there is no report on {args[0]!r}; there are {have} (see `gome report --help`)")
            args = [name, *args]
        return super().parse_args(ctx, args)


def _offered() -> dict[str, Report]:
    """Reports of installed plugins by their commands' names; of two with the same the first in order."""
    from gome.kernel.discovery import discover

    offered: dict[str, Report] = {}
    for plugin in (f.plugin for f in discover() if f.plugin is not None):
        for one in plugin.reports:
            offered.setdefault(one.command.name or plugin.name, one)
    return offered


@click.group("report", cls=_Reports)
def report() -> None:
    """Figures over many runs: `gome report SUBJECT …` shows what fits the subject, or name the report first."""


@report.command("traces")
@click.argument("runs", nargs=-1, metavar="[RUN…]")
@click.option("--all", "every", is_flag=True, help="All imported runs (the same as naming none).")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw them too: .png, .svg or .pdf."
)
@nats_option
@json_option
def traces(runs: tuple[str, ...], every: bool, plot: Path | None, nats: str, as_json: bool) -> None:
    """Medal rate, improvement rate and gains by component of imported traces, with 95 % intervals.

    Wilson intervals for medals, a bootstrap over competitions for the rest. Test reports are read from the vault.
    """
    if runs and every:
        raise UsageError("name runs, or say --all, not both")

    async def read() -> list[TraceFigures]:
        from gome.kernel.importing.reading import traces

        async with opened(nats) as connection:
            for run in runs:
                await must_exist(connection, run)
            return await traces(connection, runs)

    if plot is not None:
        from gome.kernel.importing.plot import check

        check(plot)
    found = complete(read)
    if as_json:
        for one in found:
            emit(one)
    else:
        _print(found)
    if plot is not None:
        from gome.kernel.importing.plot import draw

        draw(found, plot)
        say(f"drew {plot}")


def _print(found: list[TraceFigures]) -> None:
    from gome.kernel.importing.figures import PAPER, RULES

    head = ("trace", "competitions", "graded", "loops", "accepted")
    medals = [f"medal, {rule}" for rule in RULES]
    rows = [
        [f.trace, f.competitions, f.graded, f.loops, f.accepted, *(_share(f.medals[rule]) for rule in RULES)]
        for f in found
    ]
    table([*head, *medals], rows, right=head[1:])
    print("\nimprovement rate: loops that beat the best score before them")
    rows = [[f.trace, int(f.improvement.count), int(f.improvement.of), _share(f.improvement)] for f in found]
    table(("trace", "better", "of", "rate"), rows, right=("better", "of"))
    print("the paper: " + ", ".join(f"{name} {value:.1%}" for name, value in PAPER.items()))
    print("\nwhich components earn the accepted gains (each competition weighs the same)")
    rows = [
        [f.trace, c.name, c.attempts, c.accepted, c.gained, _share(c.share)]
        for f in found
        for c in sorted(f.components, key=lambda c: -(c.share.share or 0))
    ]
    columns = ("trace", "component", "loops", "accepted", "with a gain", "share of gain")
    table(columns, rows, right=columns[2:5])


def _share(rate: Rate) -> str:
    if rate.share is None:
        return ""
    return f"{rate.share:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
