"""Which class of failure an ended execution belongs to, and the few lines of its traceback worth recording. Pure.

The classes are `events.execution.Failure`:

    syntax    the program text is wrong: it does not parse, or names what does not exist
    import    a module is missing
    data      an exception about values: KeyError, ValueError, TypeError, FileNotFoundError on an input, …
    memory    over the limit, or the program's own MemoryError
    time      over the wall-clock or CPU limit
    numeric   NaN, infinity, singular matrices, overflow
    contract  it ended well but its files are missing or no plain files; or it ended with a code of its own
    killed    by a signal, or for too much disk or too many processes
    cancelled nobody wanted the result any more
    hopeless  stopped early, because the folds it had finished were below the bar: no fault of the program
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from gome.events import Failure, Limits
from gome.plugins.runner.sandbox.processes import Ended

CLASSES: dict[Failure, tuple[str, ...]] = {
    "syntax": ("SyntaxError", "IndentationError", "TabError", "NameError", "UnboundLocalError", "AttributeError"),
    "import": ("ImportError", "ModuleNotFoundError"),
    "memory": ("MemoryError", "_ArrayMemoryError", "OutOfMemoryError", "CompilationMemoryError"),
    "numeric": ("FloatingPointError", "LinAlgError", "ZeroDivisionError", "OverflowError"),
    "killed": ("BlockingIOError", "BrokenProcessPool", "TerminatedWorkerError", "KeyboardInterrupt"),
}
"""Exceptions by class of failure; every other one is about data."""

MESSAGES: tuple[tuple[Failure, str], ...] = (
    ("memory", r"std::bad_alloc|[Cc]annot allocate memory|Unable to allocate|[Oo]ut of memory|CUDA.*out of memory"),
    (
        "killed",
        r"can't start new thread|pthread_create failed|File too large|No space left on|Resource temporarily unav",
    ),
    ("numeric", r"\bNaN\b|\bnan\b|\binfinity\b|\binf\b|[Ss]ingular matrix|not positive definite|did not converge"),
)
"""What a message says, whatever the exception's name is; the last one only for exceptions that may be about numbers
(the key of a KeyError may be called anything)."""

ARITHMETIC = ("ValueError", "RuntimeError", "ArithmeticError", "AssertionError", "LightGBMError", "XGBoostError")

TRACEBACK_LINES = 12
TRACEBACK_BYTES = 2000

_EXCEPTION = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$")


_OURS = re.compile(rf'^  File "{re.escape(str(Path(__file__).parent))}/.*\n?', re.MULTILINE)
"""Frames of the process that a program was forked from, which a crash in C lists below the program's own."""


def clean(text: str, places: Sequence[tuple[str, str]]) -> str:
    """Replace host paths (`places`: path, what to say instead), longest first, and leave out frames of our own."""
    text = _OURS.sub("", text)
    for path, instead in sorted(places, key=lambda place: -len(place[0])):
        text = text.replace(path, instead)
    return text


def traceback_of(stderr: str) -> tuple[str, str, str]:
    """Return (exception's class name, its message, last lines of the traceback); all empty when there is none.

    The exception's line is the first that is not indented after the last `File "…"` line: messages may have several
    lines, and libraries like to print more after the traceback.
    """
    lines = stderr.rstrip().splitlines()
    places = [i for i, line in enumerate(lines) if re.match(r"\s+File \"", line)]
    for at in range(places[-1] + 1 if places else len(lines), len(lines)):
        if lines[at][:1] in ("", " ", "\t", "+", "|"):
            continue
        found = _EXCEPTION.match(lines[at])
        if found is None:
            break
        message = "\n".join([found["message"] or "", *lines[at + 1 : at + 4]]).strip()
        start = max(0, at + 1 - TRACEBACK_LINES)
        return found["name"].rpartition(".")[2], message, "\n".join(lines[start : at + 4])[-TRACEBACK_BYTES:]
    return "", "", ""


def exception_of(ended: Ended) -> tuple[str, str]:
    """Return the class name of the exception that ended a program and its traceback's last lines. Both are empty when
    it ended well, was stopped or was killed by a signal: a traceback on stderr is then of something it has survived."""
    if ended.stop or ended.signal or ended.exit_code == 0:
        return "", ""
    name, _, lines = traceback_of(ended.stderr)
    return name, lines


def classify(ended: Ended, missing: str, limits: Limits) -> tuple[Failure, str]:
    """Return the class of failure and an explanation, ("", "") for success. `missing` says what is wrong with the
    files that a program has to leave, "" when nothing is."""
    name, message, lines = traceback_of(ended.stderr)
    last = lines or "\n".join(ended.stderr.rstrip().splitlines()[-3:])[-TRACEBACK_BYTES:]
    if ended.stop == "cancelled":
        return "cancelled", "called off"
    if ended.stop == "hopeless" and limits.bar:
        below = f"all of the folds that it had finished were worse than those of {limits.bar.attempt}"
        return "hopeless", f"stopped early: {below} by more than {limits.bar.margin:.3g}"
    if ended.stop == "time" or ended.signal == signal.SIGXCPU:
        return "time", f"stopped after {limits.seconds:.4g} s\n{last}".strip()
    if ended.stop == "disk":
        return "killed", f"wrote more than {limits.disk_mb} MB (or far too many files) into the working folder"
    if ended.exit_code == 0 and ended.signal == 0 and not ended.stop:
        return ("contract", missing) if missing else ("", "")
    if ended.stop == "memory":
        return "memory", f"used more than {limits.memory_mb} MB of memory\n{last}".strip()
    if ended.stop == "gpu memory":
        return "memory", f"used more than its share ({limits.gpu_share:g}) of the GPU's memory\n{last}".strip()
    said = _by_message(f"{name}: {message}" if name else last, numeric=name in ARITHMETIC)
    if said == "memory":
        return said, last
    for failure, names in CLASSES.items():
        if name in names:
            return failure, lines
    if said:
        return said, last
    if ended.signal:
        return "killed", f"killed by signal {ended.signal} ({_signal_name(ended.signal)})\n{last}".strip()
    if name and name != "SystemExit":
        return "data", lines
    return "contract", f"ended with exit code {ended.exit_code}\n{last}".strip()


def _by_message(message: str, *, numeric: bool) -> Failure:
    patterns = MESSAGES if numeric else MESSAGES[:2]
    return next((failure for failure, pattern in patterns if re.search(pattern, message)), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
