"""Plant a mistake in every process of a world, also in those that are started later."""

# Planting is replacing methods of live objects.
# mypy: disable-error-code="method-assign"

from collections.abc import Callable

from segue.testing.world.process import Process
from segue.testing.world.run import World

Plant = Callable[[World], None]


def each(world: World, patch: Callable[[Process], None]) -> None:
    """Patch every process now and at each of its later starts."""
    for process in world.cluster.processes:
        start = process.start

        def started(process: Process = process, start: Callable[[], None] = start) -> None:
            start()
            patch(process)

        process.start = started
        patch(process)
