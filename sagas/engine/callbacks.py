"""Addresses at which another system answers a saga that waits, and the secrets that it signs its answer with.

Nothing is stored: both are made of the saga, the name of its wait and SECRET_KEY, and so are the same for
every attempt of the step that hands them out. Each counts once, for the event has an id made of the same.
"""

from __future__ import annotations

import base64
from uuid import UUID, uuid5

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signing import BadSignature, Signer
from django.urls import NoReverseMatch, reverse
from django.utils.crypto import salted_hmac

from sagas.conf import saga_settings
from sagas.definitions import Callback, WaitForEvent, registry
from sagas.engine.attempts import Held
from sagas.exceptions import DefinitionError
from sagas.keys import render_key

SALT = "sagas.callback"


def issue(held: Held, wait: str) -> Callback:
    """Return the callback to a wait of a saga in hand. Raise `DefinitionError` if it has none like that."""
    elements = registry.named(held.definition).outline().steps
    element = elements.get(wait)
    if not isinstance(element, WaitForEvent):
        known = ", ".join(name for name, each in elements.items() if isinstance(each, WaitForEvent)) or "none"
        raise DefinitionError(
            f"{held.definition} has no WaitForEvent {wait!r} to call back to. There are: {known}."
        )
    try:
        render_key(element.correlate, held.values)
    except ValueError as error:
        raise DefinitionError(
            f"A callback to {wait!r} of {held.definition} was asked for too early: {error}, and an answer "
            "that came before the wait would be lost. Ask for it in a later step."
        ) from None
    return callback_to(held.id, wait)


def callback_to(saga_id: UUID, wait: str) -> Callback:
    """Return the callback to a wait of a saga."""
    token = Signer(salt=SALT).sign_object([saga_id.hex, wait])
    try:
        path = reverse("saga-callback", args=[token])
    except NoReverseMatch:
        raise ImproperlyConfigured(
            "There is no address to call back to: include sagas.api.urls in the project's URLs."
        ) from None
    return Callback(url=saga_settings().callback_base.rstrip("/") + path, secret=secrets_of(token)[0])


def opened(token: str) -> tuple[UUID, str] | None:
    """Return the saga and the wait that a token is for; None if we never made it."""
    try:
        saga_id, wait = Signer(salt=SALT).unsign_object(token)
    except (BadSignature, ValueError):
        return None
    return UUID(saga_id), wait


def secrets_of(token: str) -> list[str]:
    """Return what an answer to this token may be signed with: the present secret, and those before it."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (salted_hmac(SALT, token, secret=key, algorithm="sha256").digest() for key in keys)
    return [f"whsec_{base64.b64encode(digest).decode()}" for digest in digests]


def answer_id(saga_id: UUID, wait: str) -> UUID:
    """Return the id of the event that an answer is."""
    return uuid5(saga_id, f"callback:{wait}")
