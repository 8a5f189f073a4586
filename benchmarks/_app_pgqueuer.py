"""The peer under measurement; see postgres_drain.py. It stores no results."""

import os
from contextlib import asynccontextmanager

import asyncpg
from _marks import mark
from pgqueuer import AsyncpgDriver, PgQueuer


@asynccontextmanager
async def main():
    connection = await asyncpg.connect(os.environ["PG_URL"])
    try:
        pgq = PgQueuer(AsyncpgDriver(connection))

        @pgq.entrypoint("run")
        async def run(job):
            mark(int(job.payload))

        yield pgq
    finally:
        await connection.close()
