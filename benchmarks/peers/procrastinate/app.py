"""The jobs."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector

CONNECTIONS = 4
"""Of one process. More of them only make the database's locks dearer."""

app = App(
    connector=PsycopgConnector(
        conninfo=os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS
    )
)


@app.task(name="step_0")
async def step_0() -> dict[str, int]:
    await step_1.defer_async()
    return {"x": 1}


@app.task(name="step_1")
async def step_1() -> dict[str, int]:
    await step_2.defer_async()
    return {"x": 1}


@app.task(name="step_2")
async def step_2() -> dict[str, int]:
    return {"x": 1}
