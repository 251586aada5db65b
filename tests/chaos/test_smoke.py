"""The smallest run of the harness, as a part of every run of the tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.samples import postgresql_only

pytestmark = [pytest.mark.processes, postgresql_only]

NOT_OURS = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SAGAS_LEASE")
"""It has a server and settings of its own."""


def test_sagas_come_through_faults():
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    command = [sys.executable, "-m", "tests.chaos", "--profile", "smoke", "--seed", "1"]

    played = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)

    assert played.returncode == 0, played.stdout
    sagas, faults, violations = (int(part.split()[0]) for part in played.stdout.splitlines()[-1].split(", "))
    assert sagas >= 40  # Some have parts that are sagas.
    assert faults >= 8
    assert violations == 0
