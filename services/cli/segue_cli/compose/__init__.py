"""Compose files in, with all their rules: read, fill in, extend, include, merge, convert."""

from segue_cli.compose.project import Loaded, default_files, load
from segue_cli.compose.trouble import Located, as_json, in_order, render
from segue_cli.compose.writing import to_yaml

__all__ = [
    "Loaded",
    "Located",
    "as_json",
    "default_files",
    "in_order",
    "load",
    "render",
    "to_yaml",
]
