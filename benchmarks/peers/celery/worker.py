"""A worker of one process. It is the fastest here: a pool that forks has one process more to talk to."""

from __future__ import annotations

import sys

from benchmarks.peers.celery.app import app, connect


def main() -> None:
    socket, index = sys.argv[1:]
    connect(socket)
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR")
    app.worker_main(["worker", f"--hostname=worker{index}@localhost", "--pool=solo", *quiet])


if __name__ == "__main__":
    main()
