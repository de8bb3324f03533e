"""Two reasoners and an observer, written outside gome."""
