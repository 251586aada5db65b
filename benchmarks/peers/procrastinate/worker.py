"""A worker as `procrastinate worker` runs it: woken by NOTIFY, ten async jobs at once."""

from __future__ import annotations

import asyncio

from benchmarks.peers.procrastinate.app import app

CONCURRENCY = 10


async def main() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(main())
