from __future__ import annotations

from sagas.management.commands import operate_sagas


class Command(operate_sagas.Command):
    help = "Grant what failed another round of attempts, and what waits for its next one that one now."
    operation = "retry"
