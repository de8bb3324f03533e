"""Classes of failure: as a table over what an execution left, and from programs that really fail."""

from __future__ import annotations

from typing import Any

import pytest

from gome.events import Limits
from gome.plugins.runner.sandbox.failures import classify, clean, traceback_of
from gome.plugins.runner.sandbox.processes import Ended


def ended(stderr: str = "", code: int = 1, signal: int = 0, stop: Any = "") -> Ended:
    return Ended(code, signal, 1.0, 1.0, 10.0, stop, "", stderr)


def raised(line: str, tail: str = "") -> str:
    head = 'Traceback (most recent call last):\n  File "/work/program.py", line 3, in <module>\n    f()\n'
    return f"{head}{line}\n{tail}"


TABLE = [
    (ended(code=0), "", ""),
    (ended(raised("KeyError: 'price'")), "", "data"),
    (ended(raised("KeyError: 'nan'")), "", "data"),
    (ended(raised("ValueError: could not convert string to float: 'a'")), "", "data"),
    (ended(raised("FileNotFoundError: [Errno 2] No such file or directory: 'input/x.csv'")), "", "data"),
    (ended(raised("pandas.errors.ParserError: Error tokenizing data")), "", "data"),
    (ended(raised("ValueError: Input X contains NaN.\nRidge does not accept missing values")), "", "numeric"),
    (ended(raised("numpy.linalg.LinAlgError: Singular matrix")), "", "numeric"),
    (ended(raised("FloatingPointError: overflow encountered in exp")), "", "numeric"),
    (ended(raised("ModuleNotFoundError: No module named 'xgboost'")), "", "import"),
    (ended('  File "/work/program.py", line 1\n    x = = 2\n        ^\nSyntaxError: invalid syntax\n'), "", "syntax"),
    (ended(raised("NameError: name 'pd' is not defined")), "", "syntax"),
    (ended(raised("MemoryError")), "", "memory"),
    (ended(raised("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB")), "", "memory"),
    (ended(raised("RuntimeError: can't start new thread")), "", "killed"),
    (ended("terminate called after throwing an instance of 'std::bad_alloc'\n", 0, 6), "", "memory"),
    (ended("", 0, 11), "", "killed"),
    (ended("", 0, 24), "", "time"),
    (ended("", 3), "", "contract"),
    (ended("", 0), "submission.csv was not written", "contract"),
    (ended(raised("KeyboardInterrupt"), 0, 9, "time"), "", "time"),
    (ended("", 0, 9, "memory"), "", "memory"),
    (ended("", 0, 9, "disk"), "", "killed"),
    (ended("", 0, 9, "cancelled"), "", "cancelled"),
    (ended(raised("ValueError: bad", "Exception ignored in: <x>\nOSError: late")), "", "data"),
]


@pytest.mark.parametrize(("how", "missing", "expected"), TABLE)
def test_every_end_has_its_class(how: Ended, missing: str, expected: str) -> None:
    failure, error = classify(how, missing, Limits())
    assert failure == expected
    assert bool(error) == bool(expected)


def test_the_exception_is_found_before_what_libraries_print_after_it() -> None:
    name, message, lines = traceback_of(raised("lightgbm.basic.LightGBMError: bad\nsecond line", "[Warning] bye"))
    assert name == "LightGBMError"
    assert message.startswith("bad\nsecond line")
    assert "program.py" in lines


def test_of_chained_exceptions_the_last_one_counts() -> None:
    first = raised("KeyError: 'a'")
    chained = f"{first}\nDuring handling of the above exception, another exception occurred:\n\n{raised('OSError: b')}"
    assert traceback_of(chained)[0] == "OSError"


def test_host_paths_are_replaced_longest_first() -> None:
    assert clean("/a/b/c.py and /a/d", [("/a/", "1:"), ("/a/b/", "2:")]) == "2:c.py and 1:d"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("program", "failure", "says"),
    [
        ("x = = 2", "syntax", "SyntaxError"),
        ("import nowhere_to_be_found", "import", "No module named 'nowhere_to_be_found'"),
        ("import csv\nnext(csv.DictReader(open('input/train.csv')))['price']", "data", "KeyError: 'price'"),
        ("open('input/other.csv')", "data", "FileNotFoundError"),
        ("import sys\nsys.exit(3)", "contract", "exit code 3"),
        ("import os\nos.abort()", "killed", "SIGABRT"),
        ("raise MemoryError", "memory", "MemoryError"),
        ("1 / 0", "numeric", "ZeroDivisionError"),
        ("pass", "contract", "submission.csv was not written; oof.csv was not written"),
    ],
)
async def test_programs_that_fail_say_why(bench: Any, program: str, failure: str, says: str) -> None:
    done = await bench.run(program)
    assert (done.ok, done.failure) == (False, failure)
    assert says in done.error


@pytest.mark.anyio
async def test_errors_name_no_path_of_this_machine(bench: Any) -> None:
    done = await bench.run("import json\njson.loads('{')")
    assert 'File "program.py", line 2' in done.error
    assert 'File "json/__init__.py"' in done.error
    assert str(bench.home) not in done.error + str(done.stderr)
