"""`gome compare`: where runs part, and what it cost or gained."""
