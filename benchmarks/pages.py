"""Measures how long the console's pages take in a large database, as whole requests.

    python -m benchmarks.pages [--sagas 1000000] [--rounds 15]

On a throw-away PostgreSQL that it fills first, or on one that is filled: ``--filled URL``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import nullcontext
from statistics import median
from typing import Any

import django
from django.core.management import call_command
from django.db import connections

from benchmarks.deployed import deploy
from tests.engine.statements import statements
from tests.postgres import fresh_server


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--sagas", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--filled", metavar="URL", help="a database that seed_demo has filled already")
    options = parser.parse_args()
    with nullcontext() if options.filled else fresh_server() as server:
        address = server.address if server else options.filled
        deploy(address, DJANGO_SETTINGS_MODULE="sagaproject.settings")
        django.setup()
        call_command("migrate", verbosity=0)
        if server:
            _seed(options.sagas)
        _measure(options.rounds)
        connections.close_all()


def _seed(sagas: int) -> None:
    command = [sys.executable, "-m", "django", "seed_demo", "--sagas", str(sagas)]
    subprocess.run(command, env=os.environ | {"DEBUG": "1"}, check=True)  # Elsewhere it is refused.


def _measure(rounds: int) -> None:
    from sagaproject.readiness import make_ready

    client = _signed_in()
    pages = list(_pages())
    make_ready()
    sys.stdout.write(f"Load average {os.getloadavg()[0]:.1f}, {rounds} rounds.\n\n")
    sys.stdout.write("| page | best | median | worst | statements |\n|---|---:|---:|---:|---:|\n")
    for name, path in pages:
        times, numbers = zip(*(_ask(client, path) for _ in range(rounds)), strict=True)
        told = f"{min(times):.0f} ms | {median(times):.0f} ms | {max(times):.0f} ms | {max(numbers)}"
        sys.stdout.write(f"| {name} | {told} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"\nLoad average {os.getloadavg()[0]:.1f}.\n")


def _signed_in() -> Any:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    root, _is_new = User.objects.get_or_create(
        username="root", defaults={"is_staff": True, "is_superuser": True}
    )
    client.force_login(root)
    return client


def _pages() -> Iterator[tuple[str, str]]:
    from django.urls import reverse
    from django.utils.http import urlencode

    from sagas.admin.tabs import TABS
    from sagas.models import Saga

    sagas = reverse("admin:sagas_saga_changelist")
    for tab in TABS:
        yield f"list, tab {tab}", f"{sagas}?tab={tab}"
    yield "list, page 100", f"{sagas}?tab=all&p=100"
    some, failed = Saga.objects.filter(status="completed")[1000], Saga.objects.filter(status="failed")[0]
    assert some.key is not None
    for name, query in (
        ("a key's beginning", {"q": some.key[:-2]}),
        ("an id", {"q": str(some.pk)}),
        ("definition and status", {"definition": some.definition, "status": "failed"}),
        ("an error's class", {"tab": "all", "error_class": failed.error_class}),
        ("an error's beginning", {"tab": "all", "q": f"error:{failed.error_class[:5]}"}),
        ("a failed step", {"definition": failed.definition, "failed_step": failed.current_step}),
        ("an attention", {"attention": failed.attention}),
        ("the last hour", {"tab": "all", "created": "hour"}),
        ("the last week", {"tab": "all", "created": "week"}),
        ("who started it", {"tab": "all", "started_by": some.started_by}),
        ("oldest first", {"tab": "all", "o": "7"}),
    ):
        yield f"list, {name}", f"{sagas}?{urlencode(query)}"
    yield "a saga that failed", reverse("admin:sagas_saga_change", args=[failed.pk])
    yield "a saga that completed", reverse("admin:sagas_saga_change", args=[some.pk])
    yield "a preview", reverse("admin:sagas_saga_operate", args=[failed.pk, "compensate"])
    yield "starting a saga", reverse("admin:sagas_saga_start", args=[some.definition])
    yield "dashboard", reverse("admin:sagas_saga_dashboard")
    for model, queries in _OTHER_LISTS.items():
        for asked in queries:
            url = reverse(f"admin:sagas_{model}_changelist")
            yield f"list of {model} {asked}".strip(), f"{url}?{asked}" if asked else url


_OTHER_LISTS = {
    "historyentry": (
        "",
        "operation=compensate&day=yesterday",
        "kind__exact=act",
        "kind__exact=take_over",
        "kind__exact=attempt&day=today",
        "actor_kind=user",
        "day=yesterday",
    ),
    "sagastep": ("", "status=unknown", "status=completed", "status=skipped"),
    "sagabatch": ("",),
    "hold": ("",),
    "worker": ("",),
    "outboxmessage": ("",),
    "inboxmessage": ("tab=all", "tab=dead"),
}


def _ask(client: Any, path: str) -> tuple[float, int]:
    with statements() as asked:
        began = time.perf_counter()
        response = client.get(path)
        took = time.perf_counter() - began
    assert response.status_code == 200, (path, response.status_code)
    return took * 1000, len(asked)


if __name__ == "__main__":
    main()
