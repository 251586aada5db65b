"""Redis Streams: a log that each group of consumers reads once, and answers entry by entry.

Every event of a transport is an entry of one stream, so that their order is kept. What a consumer was given
and has not answered stays its own until it gives that back, or is silent for a minute.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import TypeAlias
from uuid import uuid4

from sagas.choreography.brokers import AT_ONCE, LOOK_EVERY, PATIENCE, envelope, library
from sagas.definitions import Event
from sagas.definitions.transports import Transport

SCHEMES = ("redis+streams", "rediss+streams")
FIELD = "event"
GIVEN_UP_AFTER = timedelta(minutes=1)
"""What a consumer was given and has not answered by then goes to others."""
MOST_PUT_ASIDE = 10_000

Entry: TypeAlias = tuple[bytes, dict[bytes, bytes] | None]


class StreamBroker:
    """A stream, and one consumer of its group."""

    def __init__(self, transport: Transport) -> None:
        self._redis = library("redis", "streams")
        seconds = PATIENCE.total_seconds()
        never = library("redis.retry", "streams").Retry(self._redis.backoff.NoBackoff(), 0)
        self._client = self._redis.Redis.from_url(
            transport.url.replace("+streams", "", 1),
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=never,  # Tried again is the delivery, and not in here.
        )
        self._transport = transport
        self._stream, self._group = transport.exchange, transport.queue
        self._aside = f"{transport.exchange}:refused:{transport.queue}"
        self._me = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"

    def send(self, event: Event) -> None:
        """Append an event to the stream; return when Redis has it."""
        self._client.xadd(self._stream, {FIELD: envelope(event)}, maxlen=self._transport.keep)

    def consume(self, take: Callable[[str | bytes], bool], *, until: Callable[[], bool]) -> None:
        """Hand over what the group has not read, and before that what others left behind."""
        with suppress(self._redis.ResponseError):  # There is such a group.
            self._client.xgroup_create(self._stream, self._group, id="$", mkstream=True)
        next_look = 0.0
        try:
            while not until():
                entries: Sequence[Entry] = []
                if (now := monotonic()) >= next_look:
                    entries = self._left_behind()
                    next_look = now if entries else now + LOOK_EVERY.total_seconds()
                self._answer(entries or self._new(), take)
        finally:
            with suppress(self._redis.RedisError):
                self._leave()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _new(self) -> Sequence[Entry]:
        streams = {self._stream: ">"}
        wait = int(LOOK_EVERY.total_seconds() * 1000)
        found = self._client.xreadgroup(self._group, self._me, streams, count=AT_ONCE, block=wait)
        by_stream = found.items() if isinstance(found, dict) else found or ()
        return [entry for _stream, entries in by_stream for entry in entries]

    def _left_behind(self) -> Sequence[Entry]:
        """Take over what others were given and have not answered."""
        idle = int(GIVEN_UP_AFTER.total_seconds() * 1000)
        found = self._client.xautoclaim(self._stream, self._group, self._me, idle, count=AT_ONCE)
        entries: Sequence[Entry] = found[1]
        return entries

    def _answer(self, entries: Sequence[Entry], take: Callable[[str | bytes], bool]) -> None:
        left = deque(entries)
        try:
            while left:
                pk, fields = left[0]
                body = (fields or {}).get(FIELD.encode(), b"")
                is_taken = not self._is_wanted(body) or take(body)
                with self._client.pipeline(transaction=True) as pipeline:
                    if not is_taken:
                        pipeline.xadd(self._aside, {FIELD: body}, maxlen=MOST_PUT_ASIDE)
                    pipeline.xack(self._stream, self._group, pk)
                    pipeline.execute()
                left.popleft()
        except BaseException:
            self._give_back([pk for pk, _fields in left])
            raise

    def _is_wanted(self, body: bytes) -> bool:
        """Say whether an event is of a topic that is received; of what is no event others judge."""
        try:
            topic = str(json.loads(body)["type"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return True
        return any(matches(pattern, topic) for pattern in self._transport.receives)

    def _give_back(self, ids: list[bytes]) -> None:
        """Have others take these at once, as if they had been idle for long."""
        idle = int(2 * GIVEN_UP_AFTER.total_seconds() * 1000)
        with suppress(self._redis.RedisError):
            self._client.xclaim(self._stream, self._group, self._me, 0, ids, idle=idle, justid=True)

    def _leave(self) -> None:
        """Take this consumer out of its group, unless it has something in hand: that would go with it."""
        if not self._client.xpending_range(self._stream, self._group, "-", "+", 1, consumername=self._me):
            self._client.xgroup_delconsumer(self._stream, self._group, self._me)


def matches(pattern: str, topic: str) -> bool:
    """Say whether a topic is one of those a pattern tells: ``*`` is one word, ``#`` any number of them."""
    return _match(pattern.split("."), topic.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_match(pattern[1:], words[number:]) for number in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _match(pattern[1:], words[1:])
