"""The shell: what connects any core to the bus, written once for all services."""
