"""Mutators: who turns a hypothesis into a program."""
