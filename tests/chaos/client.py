"""A client of the REST API that does not take silence for an answer."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from sagas.signatures import sign

WITHIN = 5.0
"""Seconds until a request is given up and made again."""
PAUSE = 0.3


class GaveUp(Exception):
    """A request was repeated for as long as the client has patience."""


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    body: dict[str, Any]
    repeated: bool
    """Whether an earlier request with the same key may have been carried out."""


class Client:
    """Asks, and asks again with the same key until there is an answer."""

    def __init__(self, url: Callable[[], str], token: str, *, patience: float) -> None:
        self._url = url
        self._token = token
        self._patience = patience

    def get(self, path: str) -> Answer:
        """Read something."""
        return self._insist("GET", path, None, {})

    def post(self, path: str, body: Any, *, key: str) -> Answer:
        """Ask for something. Raises `GaveUp`."""
        return self._insist("POST", path, body, {"Idempotency-Key": f'"{key}"'})

    def publish(self, event: dict[str, Any], *, secret: str) -> Answer:
        """Publish an event, signed. Raises `GaveUp`."""
        message_id, timestamp = event["id"], str(int(time.time()))
        signature = sign(secret, message_id, timestamp, json.dumps(event).encode())
        signed = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
        return self._insist("POST", "events/", event, signed)

    def _insist(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        given_up_at = time.monotonic() + self._patience
        repeated = False
        said = ""
        while time.monotonic() < given_up_at:
            try:
                status, answer = self._once(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                said = repr(error)
            else:
                in_progress = answer.get("code") == "request_in_progress"
                if status < HTTPStatus.INTERNAL_SERVER_ERROR and not in_progress:
                    return Answer(status, answer, repeated)
                said = f"{status} {answer}"
            repeated = True
            time.sleep(PAUSE)
        raise GaveUp(f"{method} {path}: {said}")

    def _once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        place = urlsplit(self._url())
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WITHIN)
        try:
            connection.request(
                method,
                f"/api/v1/{path}",
                None if body is None else json.dumps(body),
                {"Authorization": f"Token {self._token}", "Content-Type": "application/json", **headers},
            )
            response = connection.getresponse()
            said = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(said)
        except ValueError as error:
            raise http.client.HTTPException(f"{response.status} without JSON: {said[:200]!r}") from error
