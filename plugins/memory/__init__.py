"""Memory plugins: what of the run's past is worth knowing for the next step. One folder each."""
