"""Search plugins: which step to take next, on which trace, on top of what. One folder each, all pure."""
