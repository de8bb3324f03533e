"""A reasoner and an observer, written outside gome."""
