"""The simulated world: the real machines and cores of every service in one thread, one seed."""
