"""Pictures of the console for the docs: ``python -m tests.browser.screens`` draws docs/screens anew."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import django
from django.core.management import call_command
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.served import Served

SCREENS = Path(__file__).resolve().parents[2] / "docs" / "screens"
SAGAS = 3000
EVENT_ORDERS = 40
SIZE = {"width": 1360, "height": 900}


def main() -> None:
    if CHROMIUM is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    SCREENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {"DATABASE_URL": f"sqlite:///{folder}/screens.sqlite3"}
        os.environ |= environment | {"DJANGO_SETTINGS_MODULE": "sagaproject.settings"}
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        django.setup()
        session, pages = _staged()
        with (
            Served("tests.browser.served:application", environment=environment) as served,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                context = browser.new_context(color_scheme=scheme, viewport=SIZE)  # type: ignore[arg-type]
                context.add_cookies([{"name": "sessionid", "value": session, "url": served.url}])
                page = context.new_page()
                for name, path in pages:
                    page.goto(served.url + path)
                    page.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            browser.close()


def _staged() -> tuple[str, list[tuple[str, str]]]:
    """Fill the database; return a session of an operator, and the pages with their names."""
    from django.contrib.auth.models import User
    from django.test import Client

    from sagas.models import Saga
    from sagas.operations.drafting import draft
    from sagas.operations.holding import hold
    from sagas.operations.selection import Selection

    call_command("migrate", verbosity=0)
    call_command("seed_demo", sagas=SAGAS)
    operator = User.objects.create_superuser("olga")
    client = Client()
    client.force_login(operator)
    hold(participant="carrier", by=operator, reason="The carrier is down until noon.")
    failed = Saga.objects.filter(status="failed").order_by("-created_at")
    batch = draft("retry", Selection(filter={"status": "failed"}), by=operator)
    unknown = Saga.objects.filter(attention="unknown_outcome").order_by("-created_at").first()
    first = failed[0]
    _publish_events()
    return client.cookies["sessionid"].value, list(_pages(first.pk, (unknown or first).pk, batch.pk))


def _publish_events() -> None:
    """Have orders led by events, and labels for some of them that cannot be printed."""
    from orders.demo.shop import open_shop
    from orders.services import Pattern, place_order
    from orders.trouble import Trouble
    from sagas import Event, PermanentFailure, subscribe
    from sagas.testing import advance, run_due

    @subscribe("shipment.created", name="warehouse.print_label")
    def print_label(event: Event) -> None:
        if event.data["trouble"] == Trouble.CARRIER_OUTAGE:
            raise PermanentFailure("the printer has no labels for parcels of this size")

    open_shop()
    troubles = (Trouble.NONE, Trouble.CARD_DECLINED, Trouble.CARRIER_DOWN, Trouble.CARRIER_OUTAGE)
    for number in range(EVENT_ORDERS):
        trouble = troubles[number % 8] if number % 8 < len(troubles) else Trouble.NONE
        place_order(f"c{number}@example.com", {"teapot": 1}, trouble=trouble, pattern=Pattern.CHOREOGRAPHY)
    run_due()
    advance(timedelta(minutes=10))


def _pages(failed: object, unknown: object, batch: object) -> Iterator[tuple[str, str]]:
    yield "list", "/admin/sagas/saga/?tab=attention"
    yield "detail", f"/admin/sagas/saga/{failed}/change/"
    yield "preview", f"/admin/sagas/saga/{failed}/operations/compensate/"
    yield "resolve", f"/admin/sagas/saga/{unknown}/operations/resolve/"
    yield "batch", f"/admin/sagas/sagabatch/{batch}/change/"
    yield "dashboard", "/admin/sagas/saga/dashboard/"
    yield "start", "/admin/sagas/saga/start/orders.place_order/"
    yield "holds", "/admin/sagas/hold/"
    yield "traffic", "/admin/sagas/outboxmessage/traffic/"
    yield "letters", "/admin/sagas/inboxmessage/?tab=dead"


if __name__ == "__main__":
    main()
