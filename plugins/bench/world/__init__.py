"""The recorded world: whole runs on a virtual clock, every program executed once and its result used ever after.

A search is compared with another one fairly only where both meet the same world. Here it is a store of answers: what a
program left, what it scored, its hidden grade, and the CPU seconds it took (`store.py`, by the keys of `asking.py`). A
miss is performed for real and kept (`performing.py`); then a run is played without any wait: all that decides and
thinks is real, programs take their recorded CPU seconds on a fixed number of virtual slots (`clock.py`, `playing.py`).
Which runs are played, and what is read off them, is said by a suite (`cells.py`, `measuring.py`, `command.py`).
"""
