"""Segue's health monitor: silence, streaks and flapping become verdicts."""
