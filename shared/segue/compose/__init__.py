"""Compose documents in, canonical specs out; see `convert`."""

from segue.compose.conversion import Result, convert

__all__ = ["Result", "convert"]
