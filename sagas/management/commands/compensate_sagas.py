from __future__ import annotations

from sagas.management.commands import operate_sagas


class Command(operate_sagas.Command):
    help = "Turn sagas back: what was done is undone, the last thing first."
    operation = "compensate"
