"""Benches: many runs that are compared, planned from a suite file, recorded as a run of their own, read as a table."""
