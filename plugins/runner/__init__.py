"""Runners: who executes programs. Each folder is one plugin of role `runner`."""
