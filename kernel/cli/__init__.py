"""The command `gome`: which verbs there are, and what every ending looks like.

A verb's module is imported when the verb is used, so that help is instant; plugins add verbs of their own
(`Plugin.commands`). `main` turns every error into one line and an exit code. A verb parses, calls one function of the
kernel, and prints; nothing is decided here.
"""

from __future__ import annotations

import difflib
import gc
import keyword
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from gome.kernel.errors import GomeError, leaves

if TYPE_CHECKING:
    from gome.kernel.discovery import Found

VERBS: dict[str, str] = {
    "run": "Optimise a task.",
    "runs": "List the runs in the log.",
    "show": "Show a run, or one of its attempts.",
    "tail": "Follow a run, one line per event.",
    "stop": "Ask a run to end with what it has.",
    "trajectory": "Print a run's attempts as a table.",
    "replay": "Show a run as it stood, or let it happen again.",
    "fork": "Go on otherwise from an event of a run.",
    "compare": "Show where runs part and what it cost or gained.",
    "whatif": "Show what another search would have picked.",
    "verify": "Decide recorded runs again and compare.",
    "rerun": "Run an attempt's program again and compare.",
    "export": "Write runs to one portable file.",
    "import": "Take in runs from archives and other tools.",
    "report": "Figures over many runs.",
    "serve": "Queue and drive runs that others submit.",
    "worker": "Perform queued effects of runs elsewhere.",
    "server": "Configure a server that machines share.",
    "plugins": "List plugins, what they read, and what fails to load.",
    "doctor": "Check server, sandbox, devices, plugins.",
}
"""The kernel's verbs in the order of help; each is a command of the same name in the module of the same name."""
EPILOG = """\b
First:  gome run ames                      (or your own: gome run train.csv --target price)
Then:   gome runs,  gome show RUN,  gome verify RUN

\b
Ends with 0 done, 1 the run failed, 2 wrong usage, 3 log unreachable, 4 replay mismatch,
130 interrupted.  Settings: gome.toml, GOME_… variables, flags, in that order."""


def _module(verb: str) -> str:
    """The module of a verb, and its command's name in there: verbs that Python keeps for itself end in `_`."""
    return f"{verb}_" if keyword.iskeyword(verb) else verb


class _Verbs(click.Group):
    """Verbs that are imported when they are used, and those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *sorted(_contributed())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            command: click.Command = getattr(import_module(f"gome.kernel.cli.{_module(cmd_name)}"), _module(cmd_name))
            return command
        return _contributed().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"; did you mean `gome {near[0]}`?" if near else ""
            ctx.fail(f"there is no verb {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        added = {name: command.get_short_help_str(60) for name, command in sorted(_contributed().items())}
        with formatter.section("Commands"):
            formatter.write_dl([*VERBS.items(), *added.items()])


def _contributed() -> dict[str, click.Command]:
    """Verbs of installed plugins; the kernel's own names win, and of two plugins the first in order."""
    from gome.kernel.discovery import discover

    found: list[Found] = discover()
    verbs: dict[str, click.Command] = {}
    for plugin in (f.plugin for f in found if f.plugin is not None):
        for command in plugin.commands:
            if command.name and command.name not in VERBS:
                verbs.setdefault(command.name, command)
    return verbs


@click.group(
    cls=_Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="gome", prog_name="gome")
def gome() -> None:
    """A machine-learning engineer: improves a program on your data, every step an event in a log that verifies."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    # Folds grow and are never cyclic: looking for garbage as often as the default does costs verify a quarter.
    gc.set_threshold(50_000, 20, 100)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = gome.main(args=given, prog_name="gome", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; without this the interpreter complains again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        sys.exit(_explain(_root(error), as_json="--json" in given))
    sys.exit(code if isinstance(code, int) else 0)


def _root(error: BaseException) -> BaseException:
    """The error that a person should read of those that a task group raised: an interruption, else ours, else any."""
    found = leaves(error)
    for kind in (KeyboardInterrupt, GomeError):
        for leaf in found:
            if isinstance(leaf, kind):
                return leaf
    return found[0]


def _explain(error: BaseException, *, as_json: bool) -> int:
    """Print one line about an error and return the exit code. `GOME_DEBUG=1` shows the traceback above it."""
    from gome.kernel.diagnostics import redact

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if os.environ.get("GOME_DEBUG"):
        import traceback

        print(redact("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    text, code = _sentence(error)
    text = redact(" ".join(text.split()))
    if as_json:
        import msgspec

        print(msgspec.json.encode({"error": text, "exit_code": code}).decode(), flush=True)
    else:
        print(f"gome: {text}", file=sys.stderr)
    return code


def _sentence(error: BaseException) -> tuple[str, int]:
    if isinstance(error, GomeError):
        return str(error), error.exit_code
    if isinstance(error, click.UsageError):
        context = error.ctx.command_path if error.ctx else "gome"
        return f"{error.format_message().rstrip('.')} (see `{context} --help`)", error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return "interrupted", 130
    hint = "" if os.environ.get("GOME_DEBUG") else "; GOME_DEBUG=1 shows where"
    return f"this should not happen: {type(error).__name__}: {error}{hint}", 1
