"""Scorers: who owns the folds, checks submissions and says what a solution is worth."""
