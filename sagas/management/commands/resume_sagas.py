from __future__ import annotations

from sagas.management.commands import operate_sagas


class Command(operate_sagas.Command):
    help = "Have sagas go on that were suspended, or that nobody moves."
    operation = "resume"
