"""What is wrong with a program, in the words and within the size that its author is shown. Pure; called by `decide.py`.

Programs' output may hold rows of the data, so how much of it is passed on depends on `completion.share`: the
traceback always (a message may quote a value), the rest of stderr with `schema`, the end of stdout with `sample`.
"""

from __future__ import annotations

from gome.events import CodeReviewed, ExecutionFinished, SubmissionRejected
from gome.kernel.loop import Share

ERROR, STDERR, STDOUT = 2500, 2500, 1500
"""Characters at most of each part."""

MEANINGS = {
    "syntax": "the text is no valid Python, or names what does not exist",
    "import": "a module is missing",
    "data": "an exception about values",
    "memory": "out of memory",
    "time": "out of time",
    "numeric": "NaN, infinity or a singular matrix",
    "contract": "its files or its exit code are not what the contract asks for",
    "killed": "killed from outside",
}


def tail(text: str, most: int) -> str:
    """The end of a text, beginning with a whole line."""
    text = text.strip()
    if len(text) <= most:
        return text
    return "…\n" + text[-most:].partition("\n")[2].strip()


def execution_problem(done: ExecutionFinished, share: Share) -> str:
    """A failed execution: its class, its traceback, the end of what it printed as far as that may be shown."""
    kind = "debug execution, on a sample of the rows" if done.purpose == "debug" else "full execution"
    meaning = MEANINGS.get(done.failure, "")
    parts = [f"The {kind}, failed: {done.failure or 'killed'}" + (f" ({meaning})" if meaning else "") + "."]
    error = tail(done.error, ERROR)
    parts.append(error)
    printed = tail(str(done.stderr), STDERR) if share != "none" else ""
    if printed and printed not in error:
        parts.append(f"End of stderr:\n{printed}")
    if share == "sample" and (printed := tail(str(done.stdout), STDOUT)):
        parts.append(f"End of stdout:\n{printed}")
    return "\n\n".join(part for part in parts if part)


def submission_problem(refused: SubmissionRejected) -> str:
    """Files that break the contract, in the scorer's words."""
    return f"The program ran, but its files were refused: {refused.reason[:ERROR]}"


def review_problem(reviewed: CodeReviewed) -> str:
    """What a look at the program found."""
    return f"The program was looked at before its full execution: {reviewed.problem[:ERROR]}"


def in_short(problem: str) -> str:
    """A problem in one line: its first sentence and, where there is a traceback, the exception."""
    first, _, rest = problem.partition("\n\n")
    # A traceback may have empty lines within; what follows it is headed.
    lines = rest.partition("\n\nEnd of std")[0].strip().splitlines()
    return " ".join(f"{first} {lines[-1] if lines else ''}".split())
