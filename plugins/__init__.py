"""Who speaks: one folder per plugin, below the role it plays. How to write one is in README.md beside this file."""
