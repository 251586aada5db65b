"""The project's application, which dies when it has done what it was asked for and is about to say so."""

from __future__ import annotations

import os
from typing import Any

from sagaproject.asgi import application as project


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer no request to start a saga."""

    async def die(message: Any) -> None:
        if scope["method"] == "POST":
            os._exit(9)
        await send(message)

    await project(scope, receive, die)
