"""The messages that carry batches from chunk to chunk."""

from __future__ import annotations

from datetime import timedelta
from pydoc import locate

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from sagas import clock, start
from sagas.conf import saga_settings
from sagas.models import SagaBatch
from sagas.operations import batches, chunks
from sagas.operations.drafting import draft
from sagas.operations.performing import perform
from sagas.operations.selection import Selection
from sagas.queue import tasks
from sagas.queue.broker import OWN_TASKS
from tests.samples import step

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(define, django_capture_on_commit_callbacks) -> SagaBatch:
    """A batch of three that has been started."""
    definition = define(step("a"))
    for _ in range(3):
        perform(start(definition, {}).pk, "suspend", by=None)
    batch = draft("resume", Selection(filter={"status": "suspended"}), by=None, rate=1000)
    with django_capture_on_commit_callbacks(execute=True):
        return batches.start(batch.pk, by=None)


def messages() -> list[tuple[int, ...]]:
    """Return what the queued messages for batches are called with."""
    packages = [SignedPackage.loads(message.payload) for message in OrmQ.objects.order_by("pk")]
    found = [package for package in packages if package["func"] in OWN_TASKS and package["args"]]
    assert all(locate(package["func"]) is tasks.run_batch and not package["save"] for package in found)
    return [package["args"] for package in found]


def test_starting_sends_one_and_each_chunk_the_next(running, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    assert messages() == [(running.pk, 1)]

    tasks.run_batch(*messages()[-1])
    assert messages() == [(running.pk, 1), (running.pk, 2)]
    tasks.run_batch(*messages()[-1])
    assert len(messages()) == 2
    assert SagaBatch.objects.get().status == "done"


def test_the_sweeper_sends_another_when_the_worker_is_gone(running):
    tasks.recover()
    assert messages() == [(running.pk, 1)]
    clock.shift(saga_settings().lease + timedelta(seconds=1))
    tasks.recover()
    assert messages() == [(running.pk, 1)] * 2

    for message in messages():
        tasks.run_batch(*message)
    assert SagaBatch.objects.get().requested == 3


def test_an_error_is_logged_and_the_rest_found_later(running, monkeypatch, caplog):
    monkeypatch.setattr(chunks, "_settle", lambda *args: 1 / 0)
    tasks.run_batch(*messages()[-1])
    assert f"A worker gave up batch {running.pk}; another goes on with it." in caplog.text
    assert SagaBatch.objects.get().left == 3
