"""The warm start: a forked program cannot be told from an executed one, and nothing passes from one to the next."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from gome.events import ExecutionFinished
from gome.plugins.runner.sandbox import plan, usage
from gome.plugins.runner.sandbox.starting import Zygote, zygote

pytestmark = pytest.mark.anyio

STARTS = ["warm", "cold"]


async def both(bench: Any, program: str, **fields: Any) -> list[ExecutionFinished]:
    """Run a program in both ways."""
    done = []
    for number, start in enumerate(STARTS):
        bench.settings["start"] = start
        done.append(await bench.run(program, id=f"{number:x}" * 32, **fields))
        assert done[-1].warm == (start == "warm")
    return done


async def once(bench: Any, program: str, id: str) -> Any:
    """Run a program warm and return the JSON that it printed."""
    done = await bench.run(program, id=id * 32)
    assert (done.ok, done.error, done.warm) == (True, "", True)
    return json.loads(str(done.stdout).splitlines()[-1])


async def test_a_forked_program_finds_what_an_executed_one_finds(bench: Any, outputs: str) -> None:
    program = outputs + textwrap.dedent(
        """
        import inspect, json, multiprocessing, os, random, resource, signal, sys, tempfile, threading
        def here(): pass
        print(json.dumps({
            "environment": dict(os.environ), "argv": sys.argv, "orig": sys.orig_argv[1:], "path": sys.path,
            "name": __name__, "file": __file__, "cached": __cached__, "doc": __doc__, "globals": sorted(globals()),
            "main": sys.modules["__main__"].__dict__ is globals(), "source": inspect.getsource(here),
            "flags": str(sys.flags), "executable": sys.executable, "cwd": os.getcwd(), "temp": tempfile.gettempdir(),
            "fds": sorted(map(os.readlink, (f"/proc/self/fd/{n}" for n in range(3))))[0],
            "open": len(os.listdir("/proc/self/fd")), "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp(),
            "ids": os.getresuid() + os.getresgid() + tuple(os.getgroups()),
            "umask": os.umask(0o22), "threads": threading.active_count(), "affinity": sorted(os.sched_getaffinity(0)),
            "limits": [resource.getrlimit(getattr(resource, "RLIMIT_" + n)) for n in ("NPROC", "CPU", "FSIZE", "CORE")],
            "signals": [str(signal.getsignal(n)) for n in signal.valid_signals() if n not in (9, 19)],
            "out": [sys.stdout.encoding, sys.stdout.errors, sys.stdout.write_through, sys.stdin.read()],
            "process": [multiprocessing.current_process().name, multiprocessing.get_start_method()],
            "hash": hash("gome"), "recursion": sys.getrecursionlimit(), "hooks": sys.excepthook is sys.__excepthook__,
            "status": [l for l in open("/proc/self/status") if l[:3] in ("Cap", "NoN", "Sec", "Sig") and "Q" not in l],
            "dumpable": os.access("/proc/self/environ", os.R_OK),
        }))
        """
    )
    bench.limits = msgspec.structs.replace(bench.limits, cores=2)
    warm, cold = [json.loads(str(done.stdout)) for done in await both(bench, program, slot=(0,))]
    for found in warm, cold:  # the C library's own signals, which it handles once there has been a thread
        found["status"] = [f"{int(line[7:], 16) & ~(3 << 31):x}" if "Cgt" in line else line for line in found["status"]]
    assert warm == cold


@pytest.mark.parametrize(
    "program",
    [
        "raise KeyError('none')",
        "def f(): g()\ndef g(): 1 / 0\nf()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('two\\nlines') from error",
        "this is no python",
        "x = '\\udcff'.encode()",
        "import sys\nsys.exit('sorry')",
        "raise SystemExit(3)",
        "raise SystemExit(None)",
        "import sys\nsys.exit(300)",
        "import os\nos._exit(7)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
        "import ctypes\nctypes.string_at(0)",
        "import sys\nsys.excepthook = lambda *a: print('hooked', a[0].__name__)\n1 / 0",
        "def f(): f()\nf()",
        "import no_such_module",
        "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='worker')\nt.start(); t.join()",
        "class A:\n    def __del__(self): print('dropped')\na = A()",
        "import atexit\natexit.register(print, 'last words')\nprint('first')",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('waited for'))).start()",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "f = open('submission.csv', 'w'); f.write('id,y\\n3,0.5\\n')\ng = open('oof.csv', 'w'); g.write('id,y\\n')",
        "print('no newline', end='')",
        "import sys\nsys.stdout.close()",
        "# coding: latin-1\nprint(ascii('\\u00e9'))",
        "",
    ],
)
async def test_a_forked_program_ends_as_an_executed_one_ends(bench: Any, program: str) -> None:
    warm, cold = await both(bench, program)

    def facts(done: ExecutionFinished) -> Any:
        lines = [line for line in str(done.stderr).splitlines() if not line.startswith(("Current thread", "Extension"))]
        lines = [re.sub(r"repeated \d+ more", "repeated", line) for line in lines]
        return (
            done.exit_code,
            done.signal,
            done.failure,
            str(done.stdout),
            "\n".join(lines).strip(),
            sorted(done.outputs),
        )

    assert facts(warm) == facts(cold)


async def test_libraries_compute_in_a_fork_with_as_many_threads_as_the_limits_say(bench: Any, outputs: str) -> None:
    program = outputs + textwrap.dedent(
        """
        import json, os
        import lightgbm, numpy, pandas, threadpoolctl
        from joblib import Parallel, delayed
        from sklearn.cluster import KMeans
        from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
        rng = numpy.random.default_rng(0)
        x, y = rng.normal(size=(4000, 20)), rng.normal(size=4000)
        pools = {(p["user_api"], p["num_threads"]) for p in threadpoolctl.threadpool_info()}
        (x.T @ x).sum(); numpy.linalg.svd(x)
        KMeans(4, n_init=1).fit(x); HistGradientBoostingRegressor(max_iter=5).fit(x, y)
        RandomForestRegressor(4, n_jobs=2, max_depth=3).fit(x, y)
        lightgbm.train({"num_threads": 2, "verbose": -1}, lightgbm.Dataset(x, y), 5)
        lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(pandas.DataFrame(x), y)
        squares = Parallel(2)(delayed(pow)(n, 2) for n in range(8))
        threads = len(os.listdir("/proc/self/task"))
        try:
            import torch
        except ImportError:
            counted = 2
        else:
            counted = torch.get_num_threads()
            layer = torch.nn.Linear(20, 1); layer(torch.randn(5000, 20)).sum().backward()
            data = torch.utils.data.TensorDataset(torch.randn(8, 2))
            assert sum(len(b[0]) for b in torch.utils.data.DataLoader(data, 2, num_workers=1)) == 8
        print(json.dumps([sorted(pools), squares[-1], counted, threads < 12]))
        """
    )
    bench.limits = msgspec.structs.replace(bench.limits, cores=2, memory_mb=3000, seconds=60)
    warm, cold = [json.loads(str(d.stdout)) if d.ok else d.error for d in await both(bench, program)]
    assert warm == cold == [[["blas", 2], ["openmp", 2]], 49, 2, True]


async def test_processes_of_every_kind_can_be_started_from_a_fork(bench: Any, outputs: str) -> None:
    program = outputs + textwrap.dedent(
        """
        import multiprocessing, os, subprocess, sys
        def square(x): return x * x
        if __name__ == "__main__":
            for how in ("fork", "spawn", "forkserver"):
                with multiprocessing.get_context(how).Pool(2) as pool:
                    print(how, pool.map(square, range(3)))
            print(subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout.strip())
        """
    )
    warm, cold = await both(bench, program)
    assert (warm.error, str(warm.stdout)) == ("", str(cold.stdout))
    assert str(warm.stdout).splitlines()[-1] == "42"


POISON = """
import builtins, collections, json, os, random, sys, tempfile, threading, warnings
import numpy, pandas, sklearn
import lightgbm
found = {
    "module": getattr(numpy, "poisoned", None), "class": hasattr(pandas.DataFrame, "poisoned"),
    "builtin": hasattr(builtins, "poisoned"), "imported": "poisoned" in sys.modules, "path": "/poisoned" in sys.path,
    "environment": os.environ.get("POISONED"), "option": pandas.get_option("display.precision"),
    "config": sklearn.get_config()["assume_finite"], "errors": numpy.geterr()["over"], "hook": sys.displayhook is print,
    "files": [f for d in ("/tmp", "/dev/shm", "/work", tempfile.gettempdir()) for f in os.listdir(d) if "poison" in f],
    "threads": [t.name for t in threading.enumerate()], "tasks": len(os.listdir("/proc/self/task")),
    "filters": len(warnings.filters), "decoder": json.loads("1"), "limit": sys.getrecursionlimit(),
    "umask": os.umask(0o22),
    "processes": [p for p in os.listdir("/proc") if p.isdigit()], "finders": len(sys.meta_path),
    "shared": [l for l in open("/proc/self/maps") if l.split()[1][3] == "s" and "gconv" not in l],
}
numpy.poisoned = pandas.DataFrame.poisoned = builtins.poisoned = 1
sys.modules["poisoned"] = sys; sys.path.append("/poisoned"); os.environ["POISONED"] = "1"
pandas.set_option("display.precision", 2); sklearn.set_config(assume_finite=True); numpy.seterr(over="ignore")
sys.displayhook = print; json.loads = lambda text: "poisoned"; sys.setrecursionlimit(5000)
warnings.simplefilter("error"); os.umask(0); sys.meta_path.insert(0, None)
for folder in ("/tmp", "/dev/shm", "/work"): open(folder + "/poison", "w").close()
threading.Thread(target=threading.Event().wait, daemon=True, name="poison").start()
if os.fork() == 0:
    os.setsid(); threading.Event().wait()
"""


async def test_nothing_of_a_program_is_found_by_the_next(bench: Any, outputs: str) -> None:
    program = POISON + outputs + "print(json.dumps(found))"
    first = await once(bench, program, "a")
    assert (first["module"], first["files"], first["decoder"], first["shared"]) == (None, [], 1, [])
    assert await once(bench, program, "b") == first


async def test_random_states_differ_from_one_execution_to_the_next(bench: Any, outputs: str) -> None:
    program = outputs + textwrap.dedent(
        """
        import json, multiprocessing, random, uuid
        import numpy
        key = bytes(multiprocessing.current_process().authkey).hex()
        print(json.dumps([random.random(), numpy.random.random(), str(uuid.uuid4()), key]))
        """
    )
    a, b = await once(bench, program, "a"), await once(bench, program, "b")
    assert all(one != other for one, other in zip(a, b, strict=True))


async def test_nothing_of_a_run_is_in_the_memory_that_programs_are_forked_from(bench: Any, outputs: str) -> None:
    secret = "a-sentence-that-only-the-first-program-knows"
    await once(bench, outputs + f"import json\nkept = ['{secret}']\nprint(json.dumps(1))", "a")
    program = outputs + textwrap.dedent(
        f"""
        import json, re
        wanted = ("{secret[:20]}" + "{secret[20:]}").encode()
        found = 0
        with open("/proc/self/mem", "rb") as memory:
            for line in open("/proc/self/maps"):
                where, rights = line.split()[:2]
                start, end = (int(n, 16) for n in where.split("-"))
                if rights[0] == "r" and "[vvar" not in line and "[vsyscall" not in line and end - start < 1 << 28:
                    memory.seek(start)
                    try: found += memory.read(end - start).count(wanted)
                    except OSError: continue
        print(json.dumps(found - 1))  # the one we looked with
        """
    )
    # What is read is held in memory as well, so a hit or two of our own needle may come along; the sentence of the
    # first program would be one more. Looked for with another needle that nobody has ever had, there are as many.
    other = program.replace(secret[:20], secret[:20].upper())
    assert await once(bench, program, "b") == await once(bench, other, "c")


async def test_a_new_zygote_is_executed_when_the_old_one_has_died(bench: Any, outputs: str) -> None:
    assert (await bench.run(outputs, id="a" * 32)).warm
    assert zygote._process is not None
    before = zygote._process.pid
    os.kill(before, signal.SIGKILL)
    zygote._process.wait()
    assert (await bench.run(outputs, id="b" * 32)).ok
    assert (await bench.run(outputs, id="c" * 32)).warm
    assert zygote._process.pid != before


async def test_an_execution_survives_the_death_of_the_process_it_was_forked_from(bench: Any, outputs: str) -> None:
    path = bench.home / "work" / ("a" * 8) / "box" / "begun"
    waiting = outputs + "import os, time\nopen('begun', 'w').close()\nwhile os.path.exists('begun'): time.sleep(.01)"
    async with anyio.create_task_group() as tasks:
        done: list[ExecutionFinished] = []

        async def execute() -> None:
            done.append(await bench.run(waiting))

        tasks.start_soon(execute)
        while not path.exists():
            await anyio.sleep(0.01)
        assert zygote._process is not None
        os.kill(zygote._process.pid, signal.SIGKILL)
        path.unlink()
    assert (done[0].ok, done[0].warm, done[0].error) == (True, True, "")


def test_the_zygote_and_all_it_forked_die_with_gome(tmp_path: Path) -> None:
    conftest = Path(__file__).with_name("conftest.py")
    script = f"""
import importlib.util, sys, pathlib, anyio
spec = importlib.util.spec_from_file_location("bench_of_tests", {str(conftest)!r})
module = importlib.util.module_from_spec(spec); sys.modules[spec.name] = module; spec.loader.exec_module(module)
bench = module.make_bench(pathlib.Path({str(tmp_path)!r}))
anyio.run(bench.run, "import time\\nopen('begun', 'w').close()\\ntime.sleep(600)")
"""
    gome = subprocess.Popen([sys.executable, "-c", script])
    try:
        begun = tmp_path / "home" / "work" / ("a" * 8) / "box" / "begun"
        while not begun.exists():
            assert gome.poll() is None
            time.sleep(0.02)
        launcher = json.loads(begun.parents[1].joinpath("process.json").read_bytes())["pid"]
        below = [*usage.descendants(gome.pid), launcher, *usage.descendants(launcher)]
        born = {pid: usage.started(pid) for pid in below}
        assert len(born) >= 4
    finally:
        gome.kill()
        gome.wait()
    until = time.monotonic() + 20
    while any(usage.started(pid) == when for pid, when in born.items()):
        assert time.monotonic() < until, "a process outlived gome"
        time.sleep(0.02)


def test_the_zygote_has_an_empty_environment_no_threads_of_ours_and_no_open_files() -> None:
    assert zygote.ready() == ""
    assert zygote._process is not None
    place = Path("/proc") / str(zygote._process.pid)
    names = {entry.partition("=")[0] for entry in (place / "environ").read_text().split("\0") if entry}
    threads = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_WAIT_POLICY"}
    python = {"PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE"}
    assert names - {"PYTHONUSERBASE"} == {"PATH", "LANG", "CUDA_VISIBLE_DEVICES", *threads, *python}
    opened = set()
    for entry in (place / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since: it may be importing what comes later
            opened.add(os.readlink(entry))
    assert {name.partition(":")[0] for name in opened} <= {"/dev/null", "socket", "pipe"} or any(
        name.endswith((".py", ".pyc", ".so")) for name in opened
    )


def test_a_zygote_that_cannot_come_up_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit(1)")
    monkeypatch.setattr("gome.plugins.runner.sandbox.starting.ZYGOTE", script)
    broken = Zygote()
    assert broken.ready() == "it ended while it imported the libraries"
    assert broken.start() is None


async def test_without_a_zygote_programs_start_cold(bench: Any, outputs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Zygote()
    gone.problem = "it cannot be had"
    monkeypatch.setattr("gome.plugins.runner.sandbox.perform.zygote", gone)
    done = await bench.run(outputs)
    assert (done.ok, done.warm) == (True, False)


async def test_a_warm_programs_memory_is_limited_like_a_cold_ones(bench: Any) -> None:
    hog = "x = []\nwhile True: x.append(bytearray(b'x' * (1 << 24)))"
    done = await both(bench, hog, limits=msgspec.structs.replace(bench.limits, memory_mb=600))
    assert [d.failure for d in done] == ["memory", "memory"]


async def test_a_warm_program_is_stopped_by_the_clock(bench: Any) -> None:
    done = await bench.run("while True: pass", limits=msgspec.structs.replace(bench.limits, seconds=0.5))
    assert (done.failure, done.warm) == ("time", True)


def test_the_interpreter_of_the_zygote_is_ours() -> None:
    assert zygote.ready() == "" and zygote._process is not None
    assert os.path.samefile(f"/proc/{zygote._process.pid}/exe", sys.executable)
    assert plan.WORK == "/work"


async def test_without_a_sandbox_only_rendered_programs_are_forked(bench: Any, outputs: str) -> None:
    bench.settings["isolation"], bench.unsafe = "none", True
    assert not (await bench.run(outputs, id="a" * 32)).warm
    bench.vouch(outputs)
    assert (await bench.run(outputs, id="b" * 32, trusted=True, renderer="r")).warm
