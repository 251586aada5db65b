"""A saga whose steps run in processes of their own: what they do is in the input."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rest_framework import serializers

from sagas import PermanentFailure, RetryLater, SagaDefinition, Step, StepContext, register


class WhatToDo(serializers.Serializer[Any]):
    deed = serializers.CharField()
    file = serializers.CharField(required=False)


def act(ctx: StepContext) -> Any:
    match ctx.input["deed"]:
        case "tell":
            sys.stdout.write("noise that is no answer\n")
            ctx.publish("isolated.done", {"n": 1}, key="k")
            return {"pid": os.getpid(), "key": ctx.idempotency_key, "attempt": ctx.attempt}
        case "refuse":
            raise PermanentFailure("no")
        case "put off":
            raise RetryLater("later", delay=timedelta(minutes=3))
        case "break":
            raise ValueError("broken")
        case "leave":
            sys.exit(4)
        case "vanish":
            os._exit(3)
        case "crash":
            ctypes.string_at(0)
        case "return nonsense":
            return {"file": object()}
        case "return much":
            return {"text": "x" * 200_000}
        case "spin":
            Path(ctx.input["file"]).write_text(f"{os.getpid()} {subprocess.Popen(['sleep', '60']).pid}")
            while True:
                pass
        case "wait to be asked":
            while not ctx.cancel_requested:
                time.sleep(0.01)
            return {"asked": True}
    raise AssertionError("unreachable")


async def act_async(ctx: StepContext) -> Any:
    return act(ctx)


def undo(ctx: StepContext) -> dict[str, Any]:
    return {"pid": os.getpid(), "undoes": ctx.undoes, "result": ctx.result}


@register
class Isolated(SagaDefinition):
    name = "tests.isolated"
    input = WhatToDo
    steps = [
        Step(act, compensation=undo, isolated=True, timeout=timedelta(seconds=60)),
        Step(act, name="hurried", compensation=undo, isolated=True, timeout=timedelta(seconds=3)),
        Step(act_async, compensation=undo, isolated=True, timeout=timedelta(seconds=60)),
    ]
