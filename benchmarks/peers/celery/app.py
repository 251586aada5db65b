"""The tasks, and how Celery is set up: a task is acknowledged when it is done, and its result is kept."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from celery import Celery

app = Celery("benchmark")


def connect(socket: str) -> None:
    """Have Redis carry messages and keep results, reached by this socket."""
    app.conf.update(
        broker_url=f"redis+socket://{socket}",
        result_backend=f"redis+socket://{socket}",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        broker_connection_retry_on_startup=True,
    )


@app.task(name="step_0")
def step_0(*before: object) -> dict[str, int]:
    return {"x": 1}


@app.task(name="step_1")
def step_1(*before: object) -> dict[str, int]:
    return {"x": 1}


@app.task(name="step_2")
def step_2(*before: object) -> dict[str, int]:
    return {"x": 1}
