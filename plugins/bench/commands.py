"""`gome bench`: the group of its verbs, each imported when it is used. `bench SUITE` is short for `bench run SUITE`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

VERBS: dict[str, tuple[str, str]] = {
    "run": ("gome.plugins.bench.running:run", "Run a suite, or go on with a bench; without one, list those that ship."),
    "table": ("gome.plugins.bench.exporting:table", "Write a bench's table to FILE.parquet or FILE.jsonl."),
    "world": ("gome.plugins.bench.world.command:world", "Play a suite in the recorded world, on a virtual clock."),
    "archive": ("gome.plugins.bench.exporting:archive", "Write a bench and its runs to FILE.gome, grades included."),
    "mle-bench-agent": ("gome.plugins.bench.mlebench.agent:agent", "Write the folder that MLE-bench runs gome from."),
}
"""The verbs in the order of help: where each one's command is, and what it does."""
PLAYED = Path(__file__).with_name("world") / "suites"
"""Where the suites lie that are played in the recorded world: `bench NAME` is short for `bench world NAME` of these."""


class _Bench(click.Group):
    """Whatever is no verb is a suite, or an option of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and (PLAYED / f"{args[0]}.toml").exists():
            args = ["world", *args]
        if not args or args[0] not in (*VERBS, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in VERBS.items()])


@click.group(
    "bench",
    cls=_Bench,
    epilog="First: gome bench smoke      (all options: gome bench run --help)",
    options_metavar="",
    subcommand_metavar="SUITE | COMMAND …",
)
def bench() -> None:
    """Compare searches, reasoners, models and settings on tasks: many runs of one suite, recorded as a bench."""
