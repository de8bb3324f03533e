"""The warm start: a process that imports the libraries once and forks for every execution. A script, never imported.

gome executes it with an empty environment as `python -u -X faulthandler zygote.py MODULE…`, with one end of a socket as
its standard input, and sends a message per execution: four descriptors, which become the standard streams of a fork and
its sign of life. What is to be run the fork reads from its own standard input (the plan, see `launcher.py`), so that
nothing of any execution ever is in the memory from which the next one is forked. The fork makes namespaces as in a cold
start; only the last step differs: instead of executing an interpreter it runs `program.py` in this one.

Two rules keep a fork from hanging or leaking. Nothing may be computed here: OpenMP's threads do not survive a fork, and
a child waits for them forever. And libraries that are slow to import and seldom needed (torch) are imported in the
background, by this process, while a child of it forks for executions.
"""

import sys

sys.path.pop(0)  # this script's folder, whose files must not be taken for modules

import array
import atexit
import ctypes
import gc
import importlib.util
import json
import os
import select
import signal
import socket
import threading
import types
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

FIRST = (
    "numpy.random",
    "pandas",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse.csgraph",
    "scipy.sparse.linalg",
    "scipy.spatial.distance",
    "scipy.special",
    "scipy.stats",
    "sklearn.calibration",
    "sklearn.cluster",
    "sklearn.compose",
    "sklearn.cross_decomposition",
    "sklearn.decomposition",
    "sklearn.discriminant_analysis",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.feature_extraction.text",
    "sklearn.feature_selection",
    "sklearn.gaussian_process",
    "sklearn.impute",
    "sklearn.inspection",
    "sklearn.isotonic",
    "sklearn.kernel_approximation",
    "sklearn.kernel_ridge",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.metrics",
    "sklearn.mixture",
    "sklearn.model_selection",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.random_projection",
    "sklearn.svm",
    "sklearn.tree",
    "threadpoolctl",
    "lightgbm",
)
"""What is there before the first execution: all that tabular programs use. What is not installed is left out."""

LATER = ("torch",)
"""What takes longest and few programs need."""

HUGE, MADV_COLLAPSE = 2 << 20, 25
"""Size of a huge page on the machines that have them, and the advice of madvise(2) to make some."""

THREADS = "OMP_NUM_THREADS"
"""The variable that says how many threads a program may use."""

_libraries: Any = None
"""The thread pools of the imported libraries, found once (`threadpoolctl`), so that a fork need not look for them."""


def launcher() -> types.ModuleType:
    """The launcher, which lies beside this file."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
    spec = importlib.util.spec_from_file_location("gome_launcher", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(names: tuple[str, ...]) -> dict[str, str]:
    """Import modules; return what went wrong with those that are installed but do not import."""
    problems = {}
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except Exception as error:  # a broken library is the program's trouble, if it wants that library
            problems[name] = f"{type(error).__name__}: {error}"[:200]
    return problems


def settle(*, last: bool) -> None:
    """After imports: find the thread pools, and see to it that forks share this memory instead of copying it. The
    garbage collector must not look at what is here, nor need a fork's end take it apart (torch registers thousands of
    finalizers). After the `last` imports the memory is laid into huge pages, where the kernel can (Linux 6.1): a fork
    copies tables of pages, a hundredth of them then."""
    global _libraries
    if "threadpoolctl" in sys.modules:
        _libraries = sys.modules["threadpoolctl"].ThreadpoolController()
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False
    gc.collect()
    gc.freeze()
    if last:
        collapse()


def collapse() -> None:
    """Ask for huge pages under all private memory; where they cannot be had, nothing changes."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        places = [line.split() for line in file]
    for where, rights, _, _, _, *name in places:
        if rights == "rw-p" and not (name and name[0].startswith("/")):
            start, end = (int(bound, 16) for bound in where.split("-"))
            for page in range(-(-start // HUGE) * HUGE, end // HUGE * HUGE, HUGE):
                madvise(page, HUGE, MADV_COLLAPSE)


def serve(control: socket.socket, start: Callable[[], int], until: int | None = None) -> None:
    """Fork for every message until gome hangs up, or until `until` can be read."""
    while True:
        waited: list[Any] = [control] if until is None else [control, until]
        if control not in select.select(waited, [], [])[0]:
            return
        try:
            message, ancillary, _, _ = control.recvmsg(16, socket.CMSG_SPACE(4 * 4), socket.MSG_DONTWAIT)
        except BlockingIOError:  # the other one of us was quicker
            continue
        passed = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                passed.frombytes(data[: len(data) - len(data) % passed.itemsize])
        if not message:
            return
        if os.fork() == 0:
            control.close()
            if until is not None:
                os.close(until)
            code = 1
            try:
                # The fourth stays open in this process only: when it is closed, gome knows that all is over.
                for number, fd in enumerate(passed[:3]):
                    os.dup2(fd, number)
                    os.close(fd)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                code = start()
                os.close(passed[3])  # before all memory is given back, which takes a while
            finally:
                os._exit(code)
        for fd in passed:
            os.close(fd)


def run(plan: dict[str, Any]) -> NoReturn:
    """In the last child, inside the sandbox: make this process look freshly started, run the program, end."""
    path = os.path.join(plan["cwd"], "program.py")
    main = freshen(plan, path)
    status = 1
    try:
        with open(path, "rb") as file:
            source = file.read()
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)
        status = 0
    except SystemExit as error:
        status = _status(error.code)
    except BaseException as error:
        # Our own frame is none of the program's business.
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        del trace
    leave(main, status)


def freshen(plan: dict[str, Any], path: str) -> types.ModuleType:
    """Undo what distinguishes a fork from a new interpreter: environment, arguments, paths, random states, threads."""
    os.environ.clear()
    os.environ.update(plan["env"])
    sys.argv[:] = ["program.py"]
    sys.orig_argv[:] = [sys.executable, "-u", "-X", "faulthandler", "program.py"]
    sys.path.insert(0, plan["cwd"])
    main = types.ModuleType("__main__")
    main.__dict__.update(
        __file__=path, __builtins__=sys.modules["builtins"], __cached__=None, __doc__=None, __annotations__={}
    )
    sys.modules["__main__"] = main
    sys.modules.pop("gome_launcher", None)
    if "tempfile" in sys.modules:
        tempfile: Any = sys.modules["tempfile"]
        tempfile.tempdir = None
    if "multiprocessing.process" in sys.modules:
        process: Any = sys.modules["multiprocessing.process"]
        process.ORIGINAL_DIR = plan["cwd"]
        process._current_process = type(process._current_process)()
    # Python seeds its own generator anew in a fork; numpy does not. (torch begins with a constant, as it always does.)
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()
    if _libraries is not None:  # torch reads the environment when it first computes
        _libraries.limit(limits=int(plan["env"].get(THREADS, "1")))
    return main


def _status(code: Any) -> int:
    """What an interpreter makes of the argument of `sys.exit`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def leave(main: types.ModuleType, status: int) -> NoReturn:
    """End as an interpreter does, without taking the libraries apart: that copies all their memory (a quarter of a
    second) for nothing. Threads are waited for, exit functions called, the program's own objects dropped (which closes
    its files), output flushed."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        main.__dict__.clear()
        gc.collect()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def main() -> None:
    """Import, say so, serve; import the rest behind a child that serves meanwhile, then take over."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are nobody's to wait for
    launch = launcher()

    def start() -> int:
        return int(launch.outer(run, orphan=True))

    problems = load(FIRST)
    later = any(importlib.util.find_spec(name) for name in LATER)
    settle(last=not later)
    control.send(json.dumps({"ready": True, "problems": problems}).encode())
    if later:
        until, done = os.pipe()
        deputy = os.fork()
        if deputy == 0:
            os.close(done)
            serve(control, start, until)
            os._exit(0)
        os.close(until)
        load(LATER)
        settle(last=True)
        os.close(done)
    serve(control, start)


if __name__ == "__main__":
    main()
