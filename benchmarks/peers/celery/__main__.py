"""Measures Celery on a Redis of its own, which it starts and ends."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import tempfile
import time
from datetime import datetime
from pathlib import Path

from celery import chain
from redis import ConnectionError, Redis

from benchmarks.peers import score
from benchmarks.peers.celery.app import connect, step_0, step_1, step_2
from benchmarks.processes import members

WORKERS = {"always": 4, "everysec": 2}
"""By when Redis syncs. If it waits for the disk each time, so do the workers, and more of them do more."""


def main() -> None:
    given = score.arguments("--redis-server", "--appendfsync", description=__doc__)
    with tempfile.TemporaryDirectory(prefix="benchmark-redis-") as folder:
        socket = str(Path(folder) / "socket")
        server = [
            *(given.redis_server, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""),
            *("--appendonly", "yes", "--appendfsync", given.appendfsync, "--loglevel", "warning"),
        ]
        connect(socket)
        workers = score.workers("celery", socket, number=WORKERS[given.appendfsync])
        with members(server), Redis(unix_socket_path=socket) as redis, members(*workers):
            score.wait_until(lambda: _answers(redis), what="Redis answers")
            _run(given.warm_up, redis)
            began = time.time()
            ended = _run(given.sagas, redis)
    score.say(sagas=given.sagas, began=began, ended=ended)


def _run(sagas: int, redis: Redis) -> float:
    """Run so many chains, and return when the last of them ended."""
    last = [chain(step_0.s(), step_1.s(), step_2.s()).apply_async().id for _ in range(sagas)]
    kept_as = [f"celery-task-meta-{task}" for task in last]
    score.wait_until(lambda: redis.exists(*kept_as) == sagas, what=f"{sagas} chains end")
    results = [json.loads(result or "{}") for result in redis.mget(kept_as)]
    if any(result.get("status") != "SUCCESS" for result in results):
        raise RuntimeError("Not every chain succeeded.")
    return max(datetime.fromisoformat(result["date_done"]).timestamp() for result in results)


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except ConnectionError:
        return False


if __name__ == "__main__":
    main()
