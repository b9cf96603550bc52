"""Segue's autoscaler: how many replicas a load asks for, and how fast that is followed."""
