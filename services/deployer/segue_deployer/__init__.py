"""Segue's deployer: requests become slots, slots become container requests."""
