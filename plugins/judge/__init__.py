"""Judges: who takes or refuses an attempt."""
