"""Measurements of the project: its formulations against the published one, in one run. ``run.py`` is the command."""
