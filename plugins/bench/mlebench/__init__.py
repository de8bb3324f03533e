"""gome as an agent of MLE-bench: a folder that the benchmark builds an image from and starts in it.

`agent.py` writes it, `files/` holds what is the same in every one. Tasks, graders and reports are not here but with the
task sources.
"""
