"""Measures how long the console's pages take in a large database, as whole requests.

    python -m benchmarks.pages [--sagas 1000000]

On a throw-away PostgreSQL that it fills first.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from statistics import median
from typing import Any

import django
from django.core.management import call_command
from django.db import connections

from tests.postgres import fresh_server


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--sagas", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with fresh_server() as server:
        os.environ |= {"DATABASE_URL": server.address, "DJANGO_SETTINGS_MODULE": "sagaproject.settings"}
        django.setup()
        call_command("migrate", verbosity=0)
        began = time.monotonic()
        call_command("seed_demo", sagas=options.sagas)
        sys.stdout.write(f"Seeded in {time.monotonic() - began:.0f} s.\n\n")
        sys.stdout.write("| page | median | worst | statements |\n|---|---:|---:|---:|\n")
        client = _signed_in()
        for name, path in _pages():
            times, statements = zip(*(_ask(client, path) for _ in range(options.rounds)), strict=True)
            told = f"{median(times):.0f} ms | {max(times):.0f} ms | {max(statements)}"
            sys.stdout.write(f"| {name} | {told} |\n")
            sys.stdout.flush()
        connections.close_all()


def _signed_in() -> Any:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    settings.ALLOWED_HOSTS.append("testserver")
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def _pages() -> Iterator[tuple[str, str]]:
    from django.urls import reverse

    from sagas.admin.tabs import TABS
    from sagas.models import Saga

    sagas = reverse("admin:sagas_saga_changelist")
    for tab in TABS:
        yield f"list, tab {tab}", f"{sagas}?tab={tab}"
    some = Saga.objects.exclude(key=None)[1000]
    yield "list, page 100", f"{sagas}?tab=all&p=100"
    yield "list, a key's beginning", f"{sagas}?q={some.key[:-2] if some.key else ''}"
    yield "list, an id", f"{sagas}?q={some.pk}"
    yield "list, definition and status", f"{sagas}?definition={some.definition}&status=failed"
    failed = Saga.objects.filter(status="failed").first()
    assert failed is not None
    yield "list, an error's class", f"{sagas}?tab=all&error_class={failed.error_class}"
    yield "list, a failed step", f"{sagas}?definition={failed.definition}&failed_step={failed.current_step}"
    yield "a saga", reverse("admin:sagas_saga_change", args=[failed.pk])
    yield "a preview", reverse("admin:sagas_saga_operate", args=[failed.pk, "compensate"])
    yield "dashboard", reverse("admin:sagas_saga_dashboard")
    yield "history", reverse("admin:sagas_historyentry_changelist")
    yield "steps", reverse("admin:sagas_sagastep_changelist")


def _ask(client: Any, path: str) -> tuple[float, int]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as statements:
        began = time.perf_counter()
        response = client.get(path)
        took = time.perf_counter() - began
    assert response.status_code == 200, (path, response.status_code)
    return took * 1000, len(statements)


if __name__ == "__main__":
    main()
