"""What can go wrong: each fault finds its victim, and says to whom it happened."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import psycopg

from tests.chaos.hosts import Host
from tests.chaos.nemesis import PATIENCE, Fault, Nemesis
from tests.chaos.stage import WEB
from tests.served import START_WITHIN


def _kill(process: psutil.Process | None) -> str | None:
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            return f"process {process.pid}"
    return None


def _busy(nemesis: Nemesis, with_what: str = "pids") -> psutil.Process | None:
    """Find a worker that waits for an answer of the world."""
    callers = set(nemesis.stage.world("in hand")[with_what])
    # Of one that was killed a moment ago the number may be somebody else's by now.
    ours = [each for host in nemesis.stage.hosts for each in host.everything if each.pid in callers]
    return nemesis.chance.choice(ours) if ours else None


def _kill_busy_worker(nemesis: Nemesis) -> str | None:
    return _kill(nemesis.wait_for(lambda: _busy(nemesis)))


def _kill_handler(nemesis: Nemesis) -> str | None:
    """Kill a worker while a handler of an event waits for an answer of the world."""
    return _kill(nemesis.wait_for(lambda: _busy(nemesis, "handlers")))


def _kill_member(nemesis: Nemesis) -> str | None:
    members = nemesis.host.members
    return _kill(nemesis.chance.choice(members)) if members else None


def _kill_sentinel(nemesis: Nemesis) -> str | None:
    host = nemesis.host
    return _kill(nemesis.chance.choice([host.main, host.sentinel]))


def _kill_cluster(nemesis: Nemesis) -> str | None:
    return _end_cluster(nemesis.host)


def _end_cluster(host: Host) -> str | None:
    main = host.main
    if main is None:
        return None
    with suppress(ProcessLookupError):
        os.killpg(main.pid, signal.SIGKILL)
        return f"group {main.pid}"
    return None


def _kill_supervisor(nemesis: Nemesis) -> str | None:
    host = nemesis.host
    host.kill()
    host.keep()
    return host.name


def _stop_worker(nemesis: Nemesis) -> str | None:
    """Stop a worker for longer than its lease, and have it go on as a zombie."""
    worker = nemesis.wait_for(lambda: _busy(nemesis))
    return None if worker is None else _pause(nemesis, [worker])


def _stop_host(nemesis: Nemesis) -> str | None:
    return _pause(nemesis, nemesis.host.everything)


def _pause(nemesis: Nemesis, processes: list[psutil.Process]) -> str | None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    nemesis.after(nemesis.profile.lease * nemesis.chance.uniform(1.3, 2), lambda: _resume(processes))
    return f"processes {[process.pid for process in processes]}" if processes else None


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _wedge(nemesis: Nemesis) -> str | None:
    """Kill the worker that waits for the next task: it holds the lock of the task queue."""
    host = nemesis.host
    reader = nemesis.wait_for(lambda: host.reader)
    if reader is None and _end_cluster(host):
        # Workers that have enough to do never wait; those of a new cluster do at first.
        reader = nemesis.wait_for(lambda: host.reader, patience=3 * PATIENCE)
    return _kill(reader)


def _cut(nemesis: Nemesis) -> str | None:
    door = nemesis.door
    return f"{nemesis.stage.door(door, 'cut')['open']} connections of {door}"


def _delay(nemesis: Nemesis) -> str | None:
    door = nemesis.door
    nemesis.stage.door(door, "delay", seconds=nemesis.chance.uniform(0.02, 0.2))
    nemesis.after(3, lambda: nemesis.stage.door(door, "delay", seconds=0.0))
    return door


def _hold(nemesis: Nemesis) -> str | None:
    """Have nothing pass for longer than a lease; then it goes on, or the connections turn out to be gone."""
    door = nemesis.door
    nemesis.stage.door(door, "hold")
    is_gone = nemesis.chance.random() < 0.5

    def heal() -> None:
        if is_gone:
            nemesis.stage.door(door, "cut")
        nemesis.stage.door(door, "pass")

    nemesis.after(nemesis.profile.lease * nemesis.chance.uniform(1.2, 2), heal)
    return door


def _lose_commits(nemesis: Nemesis) -> str | None:
    return _commits(nemesis, "lose")


def _unanswer_commits(nemesis: Nemesis) -> str | None:
    return _commits(nemesis, "unanswer")


def _commits(nemesis: Nemesis, how: str) -> str | None:
    """Have some COMMITs of a host or of the web server meet a broken connection."""
    door = nemesis.door
    stage = nemesis.stage
    wanted = nemesis.chance.choice((1, 2, 4))
    stage.door(door, how, commits=wanted)
    nemesis.wait_for(lambda: stage.door(door, "look")["met"] >= wanted or None)
    met = stage.door(door, "look")["met"]
    stage.door(door, how, commits=0)
    return f"{met} of {door}" if met else None


def _restart_database(nemesis: Nemesis) -> str | None:
    nemesis.stage.server.stop()
    time.sleep(nemesis.chance.uniform(0, 2))
    nemesis.stage.server.start()
    return "all"


def _end_connections(nemesis: Nemesis) -> str | None:
    """Have the database end half of its connections, wherever they are."""
    with psycopg.connect(nemesis.stage.server.address, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE client_port IS NOT NULL AND pid <> pg_backend_pid() AND random() < 0.5"
        ).fetchall()
    return f"{len(found)} connections" if found else None


def _drop_messages(nemesis: Nemesis) -> str | None:
    """Lose what is queued, and have django-q2 deliver the rest twice."""
    with psycopg.connect(nemesis.stage.server.address, autocommit=True) as connection:
        lost = connection.execute("DELETE FROM django_q_ormq WHERE id % 2 = 0").rowcount
        twice = connection.execute(
            "INSERT INTO django_q_ormq (key, payload, lock) SELECT key, payload, lock FROM django_q_ormq"
        ).rowcount
    return f"{lost} lost, {twice} doubled"


def _shuffle_deliveries(nemesis: Nemesis) -> str | None:
    """Have what is to be delivered come due in another order, some of it late."""

    def shuffle() -> str | None:
        with psycopg.connect(nemesis.stage.server.address, autocommit=True) as connection:
            found = connection.execute(
                "UPDATE sagas_inboxmessage SET due_at = statement_timestamp() + random() * interval '2 s' "
                "WHERE status = 'due' AND held_by IS NULL"
            ).rowcount
        return f"{found} deliveries" if found else None

    return nemesis.wait_for(shuffle)


def _storm(nemesis: Nemesis) -> str | None:
    stage = nemesis.stage
    stage.world("storm", share=nemesis.chance.uniform(0.2, 0.6), seed=nemesis.chance.randrange(2**32))
    nemesis.after(3, lambda: stage.world("storm", share=0.0, seed=0))
    return "the world"


def _kill_web(nemesis: Nemesis) -> str | None:
    # On a thread of its own: the new server may need what is to be healed before it answers.
    with ThreadPoolExecutor(1) as thread:
        served = thread.submit(nemesis.stage.serve_again)
        nemesis.wait_for(lambda: served.done() or None, patience=START_WITHIN)
        served.result()
    return WEB


FAULTS: dict[str, Fault] = {
    "kill a busy worker": _kill_busy_worker,
    "kill a handler": _kill_handler,
    "kill a member": _kill_member,
    "kill a sentinel": _kill_sentinel,
    "kill a cluster": _kill_cluster,
    "kill a supervisor": _kill_supervisor,
    "stop a worker": _stop_worker,
    "stop a host": _stop_host,
    "wedge a cluster": _wedge,
    "cut a door": _cut,
    "delay a door": _delay,
    "hold a door": _hold,
    "lose commits": _lose_commits,
    "unanswer commits": _unanswer_commits,
    "restart the database": _restart_database,
    "end connections": _end_connections,
    "drop messages": _drop_messages,
    "shuffle deliveries": _shuffle_deliveries,
    "storm": _storm,
    "kill the web server": _kill_web,
}
