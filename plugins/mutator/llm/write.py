"""Has a program written or mended: asks, takes the answer apart, checks it without running it, asks again.

An answer that cannot be used is asked for again with the reason. A patch that does not apply is asked for once more,
then the whole file; a program with a fault that can be seen in its text is mended like one that failed; a program that
was written before is asked for once more and then given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gome.events import CodeRequested, Text
from gome.kernel.completing import Completer, ReplyUnusable, code_block
from gome.kernel.errors import GomeError
from gome.plugins.mutator.llm.checks import compiles, fault_of
from gome.plugins.mutator.llm.edits import EditError, Patch, apply
from gome.plugins.mutator.llm.prompting import OTHER, PROBLEM, REMARK, ROOM, SKETCH, Situation, middle, within
from gome.plugins.mutator.llm.settings import LlmSettings

Way = Literal["whole", "patch"]

TURNS = 5
"""Calls at most for one version of a program."""
PATCH_LINES = 80
"""Lines from which on a program is patched rather than written anew, where the setting leaves the choice."""


class NoProgram(GomeError):
    """The model has answered, but with no program that can be run."""


@dataclass(frozen=True)
class Turn:
    """What one call is about: the program to start from, what is wrong with it ("" when it is only to be changed), how
    the answer is to be given, and why the last one was no use."""

    program: str
    problem: str
    way: Way
    remark: str = ""


@dataclass(frozen=True)
class Author:
    """Writes one version of one attempt's program. `known` maps the digests of all programs so far to their attempts,
    `others` are programs to take parts from, `earlier` one line per earlier fault, `seconds` what the program to start
    from took (rounded, "" when unknown)."""

    complete: Completer
    situation: Situation
    settings: LlmSettings
    known: Mapping[str, str]
    others: Sequence[str] = ()
    earlier: Sequence[str] = ()
    seconds: str = ""

    def way(self, program: str) -> Way:
        """How a program is to be changed."""
        if not program.strip():
            return "whole"
        if self.settings.edit != "auto":
            return self.settings.edit
        return "patch" if program.count("\n") >= PATCH_LINES and not self.others else "whole"

    async def program(self, asked: CodeRequested) -> str:
        """Return a program that is new and has no fault that can be seen without running it. Raises `NoProgram` when
        none comes, and what `complete` raises when there is no reply."""
        start = str(asked.program)
        turn, repeated = Turn(start, asked.problem, self.way(start)), False
        for _ in range(TURNS):
            try:
                text = await self._ask(asked, turn)
            except ReplyUnusable as error:
                if turn.way == "whole":
                    raise
                turn = replace(turn, way="whole", remark=str(error))
                continue
            except EditError as error:
                # One more patch, with the reason; then the whole file.
                turn = replace(turn, way="whole" if turn.remark else turn.way, remark=str(error))
                continue
            if fault := fault_of(text):
                turn = Turn(text, fault, self.way(text))
                continue
            if not (earlier := self.known.get(Text.of(text).digest)):
                return text
            if repeated:
                raise NoProgram(f"duplicate of {earlier}: the same program was written before")
            repeated = True
            turn = replace(turn, remark="this very program was written before; the answer must be another one")
        raise NoProgram(f"no program that can be run came in {TURNS} answers; the last fault: {_last(turn)}")

    async def _ask(self, asked: CodeRequested, turn: Turn) -> str:
        """One call, and the program that comes out of its answer."""
        system, user = self.situation.system("developer"), self._user(asked, turn)
        name = "repair" if turn.problem else "code"
        if turn.way == "patch":
            patch = await self.complete(name, system=system, user=user, reply=Patch, role="developer")
            text = apply(turn.program, patch.edits)
        else:
            said = await self.complete(name, system=system, user=user, role="developer")
            text = code_block(said)
            if "```" not in said and not compiles(text):
                # Words instead of a program: nothing to mend, and what was to be changed must not be lost over them.
                raise EditError("the answer holds no fenced block with a program")
        if (size := len(text.encode())) > self.settings.program_bytes:
            raise EditError(f"the program has {size} bytes; at most {self.settings.program_bytes} are allowed")
        return text

    def _user(self, asked: CodeRequested, turn: Turn) -> str:
        values = {
            "sketch": middle(str(asked.sketch), SKETCH),
            "program": turn.program,
            "problem": middle(turn.problem, PROBLEM),
            "remark": middle(turn.remark, REMARK),
            "way": turn.way,
            "seconds": self.seconds,
        }
        return within(
            ROOM + len(turn.program),
            "repair" if turn.problem else "code",
            values,
            earlier=self.earlier,
            others=[middle(other, OTHER) for other in self.others],
        )


def _last(turn: Turn) -> str:
    return (turn.remark or turn.problem).splitlines()[0][:300]
