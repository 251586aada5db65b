"""Runs a management command in a tree of processes of which none outlives its parent.

    python -m sagas.supervision.child PARENT COMMAND [ARGUMENT …]

However the parent ends, by SIGKILL too, the kernel ends this process, and with it what it forked in turn.
Without that, a cluster's workers would go on for ever as orphans.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # From <sys/prctl.h>.

_forking_pid = 0


def main() -> None:
    parent, *command = sys.argv[1:]
    _end_with(int(parent))
    os.register_at_fork(before=_note_parent, after_in_child=_end_with_parent)
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *command])


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _note_parent() -> None:
    global _forking_pid
    _forking_pid = os.getpid()


def _end_with_parent() -> None:
    _end_with(_forking_pid)


if __name__ == "__main__":
    main()
