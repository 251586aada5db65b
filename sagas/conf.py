"""The project's ``SAGAS`` settings over typed defaults."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from sagas.definitions.transports import Transport
    from sagas.definitions.webhooks import Webhook


LOG_NAMES = ("saga", "key", "from", "to")
"""What `LOG_URL` may have in braces: the saga, an attempt's idempotency key, and from when to when."""


@dataclass(frozen=True, kw_only=True)
class SagaSettings:
    """Every key of ``SAGAS``, lower-cased, with its default."""

    queue: str | None = None
    """The django-q2 queue that carries wake-ups; None is the project's own."""
    runners: int | None = None
    """Runners at once in one cluster; None is half of its workers, at least one."""
    lease: timedelta = timedelta(seconds=30)
    """How long a claim lasts without renewal; a dead worker's sagas go on after this."""
    budget: timedelta = timedelta(seconds=20)
    """How long a runner claims before it hands over; also about how long a graceful stop may take."""
    linger: timedelta = timedelta(seconds=1)
    """How long a runner stays when nothing is due."""
    poll: timedelta = timedelta(milliseconds=100)
    """How often a runner with free slots looks for due sagas."""
    batch: int = 500
    """Sagas claimed at once, at most."""
    threads: int = 16
    """Sync steps at once in one runner."""
    tasks: int = 2000
    """Async steps at once in one runner."""
    crash_limit: int = 3
    """Crashes of a step that ran alone before its saga is halted as a crash loop."""
    source: str = "/sagas"
    """Where this project's events come from, as a URI reference: the `source` of CloudEvents."""
    event_senders: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The secrets of other systems that may publish events over the API, by the `source` of their events."""
    webhooks: Sequence[Webhook] = ()
    """Who outside is told of sagas that ended or need a person."""
    transports: Sequence[Transport] = ()
    """Message brokers outside, to which events are sent and from which they are received."""
    max_hops: int = 20
    """How many events may follow one from another before the next is not delivered without a person."""
    idempotency_ttl: timedelta = timedelta(days=7)
    """How long results are kept under their idempotency keys."""
    allowed_tasks: Collection[str] | None = None
    """What `NotifyBroker` lets workers run besides the engine's own, as dotted paths; None is everything."""
    sensitive_names: str = "api|auth|token|key|secret|pass|signature|cookie|card|iban|cvv|cvc"
    """A pattern: fields whose names it finds are hidden from those who may not see what is sensitive."""
    admin_base_class: str = "django.contrib.admin.ModelAdmin"
    """Dotted path of the class that the console's pages are made of."""
    trace_url: str = ""
    """Where a saga's trace is shown, with ``{trace_id}`` in it; the console links to it."""
    log_url: str = ""
    """Where an attempt's log is shown, with ``{saga}``, ``{key}``, ``{from}`` and ``{to}`` in it."""
    batch_rate: int = 20
    """Sagas a second of which a batch asks its operation, where nothing else is said."""
    alert: str = "sagas.engine.bell.log_alert"
    """Dotted path of a callable ``(saga_id, attention, message)``, called when a saga needs a person."""
    callback_base: str = ""
    """Scheme and host at which other systems reach this project, for the URLs of callbacks."""
    problem_base: str = ""
    """Where the pages of the API's kinds of problem are; empty: where the API is."""
    require_idempotency_key: bool = False
    """Whether the API starts sagas only under an Idempotency-Key."""
    require_if_match: bool = False
    """Whether the API operates only on sagas that were looked at."""
    require_reason: Collection[str] = ()
    """The operations that the API does only with a reason."""

    def __post_init__(self) -> None:
        for name in ("lease", "budget", "linger", "poll", "idempotency_ttl"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or value <= timedelta(0):
                raise ImproperlyConfigured(
                    f"SAGAS[{name.upper()!r}] must be a positive timedelta, not {value!r}."
                )
        try:
            re.compile(self.sensitive_names)
        except (re.error, TypeError) as error:
            raise ImproperlyConfigured(
                f"SAGAS['SENSITIVE_NAMES'] must be a regular expression: {self.sensitive_names!r}: {error}."
            ) from None
        if unknown := sorted(set(re.findall(r"{(.*?)}", self.log_url)) - set(LOG_NAMES)):
            raise ImproperlyConfigured(
                f"SAGAS['LOG_URL'] has {{{unknown[0]}}} in it, which stands for nothing. "
                f"What stands for something is {', '.join(f'{{{name}}}' for name in LOG_NAMES)}."
            )
        for name in ("runners", "batch", "threads", "tasks", "crash_limit", "batch_rate", "max_hops"):
            value = getattr(self, name)
            if name == "runners" and value is None:
                continue
            if not isinstance(value, int) or value < 1:
                raise ImproperlyConfigured(f"SAGAS[{name.upper()!r}] must be an integer ≥ 1, not {value!r}.")


@cache
def saga_settings() -> SagaSettings:
    """Return the settings in force. Raise `ImproperlyConfigured` for a key or value that means nothing."""
    given: dict[str, Any] = getattr(settings, "SAGAS", {})
    known = {each.name.upper() for each in fields(SagaSettings)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(
            f"SAGAS has no key {', '.join(map(repr, unknown))}. The keys are {', '.join(sorted(known))}."
        )
    return SagaSettings(**{key.lower(): value for key, value in given.items()})


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "SAGAS":
        saga_settings.cache_clear()


setting_changed.connect(_forget)
