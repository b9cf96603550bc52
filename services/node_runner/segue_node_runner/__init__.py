"""Segue's node runner: one host's Docker engine follows the events."""
