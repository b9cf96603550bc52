"""Segue's scheduler: requested containers get a node."""
