"""Run tasks beside a block of code and end them with it.

A bare task group would wrap the block's own errors in a group; here they stay what they are. Only
what goes wrong in the tasks comes out as a group.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def beside() -> AsyncIterator[TaskGroup]:
    """Give a task group whose tasks are cancelled at the block's end."""
    error: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except BaseException as caught:  # noqa: BLE001 — it is raised again below, whatever it is.
            error = caught
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error
