"""Reasoner plugins: diagnosis, hypothesis and feedback. One folder each."""
