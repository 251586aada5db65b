"""A real browser on the console, with everything that it complains of."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connections
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 15_000
"""Milliseconds until something that should appear is missed."""
expect.set_options(timeout=PATIENCE)
NOT_OURS = ("favicon.ico",)


@contextmanager
def apart_from_the_browser() -> Iterator[None]:
    """Let a loop of our own run in this thread for the length of the block."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


class Visitor:
    """Somebody at the console, in a window of their own."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context = context
        self._url = url
        self.complaints: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)

    def _hear(self, message: object) -> None:
        kind, text, place = message.type, message.text, message.location.get("url", "")  # type: ignore[attr-defined]
        if kind in ("error", "warning") and not place.endswith(NOT_OURS):
            self.complaints.append(f"{text} ({place})")

    def _refuse(self, dialog: object) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    def goes_to(self, path: str) -> Page:
        self.page.goto(self._url + path)
        return self.page


@pytest.fixture
def visit(live_server, client, monkeypatch) -> Iterator[Callable[..., Visitor]]:
    """Opens a window for a user who has signed in; with the first one the browser starts."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with ExitStack() as stack:
        started: list[Browser] = []

        def start() -> Browser:
            # Its loop runs in this thread from now on, where Django would refuse to ask the database.
            monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
            playwright = stack.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            stack.callback(browser.close)
            # Where a loop runs, asgiref gives this thread a database connection apart from its own.
            stack.callback(connections.close_all)
            started.append(browser)
            return browser

        def open_for(user, **options) -> Visitor:
            browser = started[0] if started else start()
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
            client.force_login(user)
            cookie = client.cookies["sessionid"]
            context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
            return Visitor(context, live_server.url)

        yield open_for
