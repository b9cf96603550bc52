"""Segue's gateway: one on each host; what leads to the containers of services."""
