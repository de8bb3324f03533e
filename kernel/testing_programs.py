"""Checks of a runner's results: what a program finds, what it leaves and how it fails is told as it was.

Part of the conformance kit (`gome.kernel.testing_runner` runs them, in this order); what is cut off is checked in
`testing_limits`.
"""

from __future__ import annotations

import json
import os
import secrets

from gome.events import Text
from gome.kernel.testing_bench import OUTPUTS, Bench, Body, ill, same, well


async def _files(bench: Bench) -> None:
    done = well(
        await bench.run(
            f"""{OUTPUTS}
import json, os
with open("scores.csv", "w") as file: file.write("model,rmse\\nboosted,0.6\\nensemble,0.5\\n")
with open("diagnostics.json", "w") as file: json.dump({{"rounds": 12}}, file)
os.makedirs("members/plain")
with open("members/plain/oof.csv", "w") as file: file.write("id,fold,y\\n1,0,1\\n")
with open("unasked.bin", "w") as file: file.write("x")
""",
            purpose="audit",
            masked_fold=1,
        )
    )
    wanted = {"submission.csv", "oof.csv", "scores.csv", "diagnostics.json", "members/plain/oof.csv"}
    same(set(done.outputs), wanted, "the set of outputs")
    same(bench.store.get(done.outputs["submission.csv"].digest), b"id,y\n3,0.5\n", "submission.csv")
    same(done.diagnostics, {"rounds": 12}, "what diagnostics.json says")


async def _facts(bench: Bench) -> None:
    program = f"{OUTPUTS}\nimport sys\nprint('said')\nprint('warned', file=sys.stderr)\n"
    done = well(await bench.run(program, purpose="audit", masked_fold=1, seed=11, partition=3, attempt="a9"))
    told = (done.attempt, done.purpose, done.masked_fold, done.seed, done.partition)
    same(told, ("a9", "audit", 1, 11, 3), "attempt, purpose, masked fold, seed and partition")
    same(done.program, Text.of(program).digest, "the program's digest")
    same((str(done.stdout).strip(), str(done.stderr).strip()), ("said", "warned"), "output")
    assert done.seconds > 0 and done.versions.get("python"), "seconds or the version of Python are missing"


async def _inputs(bench: Bench) -> None:
    done = well(
        await bench.run(
            f"""{OUTPUTS}
import json
names = {sorted(bench.inputs)!r}
print(json.dumps({{name: open("input/" + name).read() for name in names}}))
for path in ["input/new", *("input/" + name for name in names)]:
    try:
        open(path, "a").write("x")
    except OSError:
        continue
    print("wrote", path)
"""
        )
    )
    first, *wrote = str(done.stdout).splitlines()
    found = {name: bench.store.get(artifact.digest).decode() for name, artifact in bench.inputs.items()}
    same(json.loads(first), found, "what lies in input/")
    # Root may write whatever it likes; where there is no isolation the store's own copy has to be another file.
    assert not wrote or (bench.unsafe and os.geteuid() == 0), f"inputs can be written: {wrote}"


async def _environment(bench: Bench) -> None:
    program = f"{OUTPUTS}\nimport json, os\nprint(json.dumps(dict(os.environ)))"
    secret = f"secret-{secrets.token_hex(8)}"
    os.environ["GOME_KIT_API_KEY"] = secret
    try:
        full = json.loads(str(well(await bench.run(program, limits={"cores": 2})).stdout))
        debug = json.loads(str(well(await bench.run(program, purpose="debug")).stdout))
    finally:
        del os.environ["GOME_KIT_API_KEY"]
    wanted = {"GOME_SEED": "7", "GOME_PARTITION": "2", "GOME_THREADS": "2", "OMP_NUM_THREADS": "2"}
    same({name: full.get(name) for name in wanted}, wanted, "the environment of a full execution")
    same((full.get("GOME_DEBUG"), debug.get("GOME_DEBUG")), (None, "1"), "GOME_DEBUG in full and debug executions")
    same(full.get("PYTHONHASHSEED"), "0", "PYTHONHASHSEED")
    assert secret not in [*full.values(), *debug.values()], "the environment of gome reaches the program"


async def _sample(bench: Bench) -> None:
    done = well(await bench.run(f"{OUTPUTS}\nprint(len(open('input/train.csv').readlines()) - 1)", purpose="debug"))
    rows = int(str(done.stdout))
    same(done.sampled or bench.task.rows_train, rows, "the recorded number of training rows (0 means all)")


async def _exception(bench: Bench) -> None:
    done = ill(await bench.run("def learn():\n    raise KeyError('Lot Area')\nlearn()\n"), "data")
    same((done.exit_code, done.signal), (1, 0), "exit code and signal")
    same(done.exception, "KeyError", "the exception's name")
    assert "KeyError: 'Lot Area'" in done.traceback, f"the traceback is {done.traceback!r}"
    assert "KeyError: 'Lot Area'" in done.error, f"the error does not name the exception: {done.error}"
    assert "program.py" in done.error and "line 2" in done.error, f"nor its place: {done.error}"
    assert str(bench.home) not in done.error + str(done.stderr), "paths of this machine show in it"


async def _classes(bench: Bench) -> None:
    for program, failure in (
        ("x = = 1", "syntax"),
        ("import no_such_module_anywhere", "import"),
        ("raise MemoryError('Unable to allocate 9 GiB')", "memory"),
        ("raise ZeroDivisionError('division by zero')", "numeric"),
        ("open('submission.csv', 'w').write('id,y\\n3,1\\n')", "contract"),
    ):
        ill(await bench.run(program), failure)


async def _code(bench: Bench) -> None:
    done = ill(await bench.run(f"{OUTPUTS}\nimport sys\nsys.exit(3)"), "contract")
    same(done.exit_code, 3, "the exit code")


async def _signal(bench: Bench) -> None:
    done = ill(await bench.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"), "killed")
    same(done.signal, 11, "the signal")


PROGRAMS: dict[str, Body] = {
    "what it leaves is collected, and nothing else": _files,
    "the result says what was run and what it printed": _facts,
    "inputs lie under input/ and cannot be written": _inputs,
    "the environment is the contract's": _environment,
    "a debug execution says how many rows it was given": _sample,
    "an exception is data with its place": _exception,
    "failures have their class": _classes,
    "an exit code of the program's own is a breach of contract": _code,
    "a program that dies of a signal was killed": _signal,
}
"""Checks by what they are about."""
