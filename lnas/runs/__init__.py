"""Runs: one search or one evaluation in one folder, started from the command line or a study."""
