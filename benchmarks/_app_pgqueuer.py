"""The peer under measurement; see postgres_drain.py. It stores no results.

Run as a program it does what `pgqueuer run` does, as it comes: that command of 1.6 does not start
with the typer of today.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from _marks import mark, shout
from pgqueuer import AsyncpgDriver, PgQueuer
from pgqueuer.adapters.cli import supervisor
from pgqueuer.types import QueueExecutionMode


@asynccontextmanager
async def main():
    connection = await asyncpg.connect(os.environ["PG_URL"])
    try:
        pgq = PgQueuer(AsyncpgDriver(connection))

        @pgq.entrypoint("run")
        async def run(job):
            mark(int(job.payload))

        @pgq.entrypoint("tell")
        async def tell(job):
            shout(int(job.payload))

        yield pgq
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(
        supervisor.run(
            main,
            dequeue_timeout=timedelta(seconds=30),
            batch_size=10,
            restart_delay=timedelta(seconds=5),
            restart_on_failure=False,
            mode=QueueExecutionMode.continuous,
            max_concurrent_tasks=None,
            shutdown_on_listener_failure=False,
            heartbeat_timeout=timedelta(seconds=30),
        )
    )
