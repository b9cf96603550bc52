"""Say how long a queue is, so that its workers become more or fewer: x-autoscale with target lag.

python monitor.py STREAM CONSUMER APP/SERVICE      a JetStream consumer's backlog, every second
"""

import asyncio
import json
import os
import sys

import nats


async def main(stream: str, consumer: str, service: str) -> None:
    """Say it until stopped."""
    client = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    subject = f"sample.service.{service.replace('/', '.')}.lag"
    while True:
        info = await client.jetstream().consumer_info(stream, consumer)
        waiting = (info.num_pending or 0) + (info.num_ack_pending or 0)
        await client.publish(subject, json.dumps({"value": waiting, "every_s": 1}).encode())
        await asyncio.sleep(1)


asyncio.run(main(*sys.argv[1:]))
