"""What several threads may do at once: reading structs that no one has read before."""

from __future__ import annotations

import subprocess
import sys

READING = """
import sys, threading
from gome.events import read_pipeline
from gome.events.diagnostics import fitting

sys.setswitchinterval(1e-6)
gate = threading.Barrier(8)

def read(function, value):
    gate.wait()
    try:
        function(value)
    except ValueError:
        pass

for function, value in ((read_pipeline, {"members": []}), (fitting, {"members": [], "folds": 3, "blend": {}})):
    threads = [threading.Thread(target=read, args=(function, value)) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def test_threads_that_read_a_kind_of_value_for_the_first_time_at_once_do_not_crash() -> None:
    codes = {subprocess.run([sys.executable, "-c", READING], check=False).returncode for _ in range(3)}
    assert codes == {0}
