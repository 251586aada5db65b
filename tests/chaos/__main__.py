"""Plays a run of the harness, or checks with broken engines that it finds what is broken.

    python -m tests.chaos [--profile smoke|pr|nightly] [--seed 1] [--mutant NAME | --mutants] [--keep FOLDER]

Exits with 1 when a rule did not hold, or when the run met too little to say that all did.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser, Namespace
from pathlib import Path

import django
from django.core.management import call_command

from tests.chaos.profiles import PROFILES
from tests.postgres import NoServer, fresh_server

NO_SOCKETS = shutil.ignore_patterns("*.socket")
MUTANTS = (
    "key per attempt",
    "no fence",
    "apply late result",
    "mark after call",
    "attempts counted at the end",
    "UNKNOWN as failed",
    "no tombstone",
    "plan from memory",
    "inbox outside the transaction",
)


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, help="pr; of mutants, smoke.")
    parser.add_argument("--seed", type=int, help="Without it, one by chance, which is told.")
    parser.add_argument("--mutant", choices=MUTANTS, help="Break this rule of the engine.")
    parser.add_argument("--mutants", action="store_true", help="Break one after the other: each must be red.")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="Leave logs, ledger and faults there.")
    asked = parser.parse_args()
    asked.profile = asked.profile or ("smoke" if asked.mutants or asked.mutant else "pr")
    if asked.seed is None:
        asked.seed = random.SystemRandom().randrange(10_000)
    return _play_mutants(asked) if asked.mutants else _play(asked)


def _play(asked: Namespace) -> int:
    began = time.monotonic()
    try:
        with fresh_server() as server, tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
            os.environ |= {"DATABASE_URL": server.address, "DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
            django.setup()
            call_command("migrate", run_syncdb=True, verbosity=0)
            from tests.chaos.run import run, say  # Its models want the settings above.

            folder = Path(temporary)
            profile = PROFILES[asked.profile]
            say(f"profile {asked.profile}, seed {asked.seed}" + (f", {asked.mutant}" if asked.mutant else ""))
            try:
                came = run(server, folder, profile, seed=asked.seed, mutant=asked.mutant)
            finally:
                if asked.keep:
                    shutil.copytree(folder, asked.keep, dirs_exist_ok=True, ignore=NO_SOCKETS)
            say(f"{time.monotonic() - began:.0f} s with seed {asked.seed}")
            faults = came.faults.total()
            say(f"{came.sagas} sagas, {faults} faults, {len(came.violations)} violations")
    except NoServer as error:
        sys.exit(str(error))
    return int(came.is_red)


def _play_mutants(asked: Namespace) -> int:
    """Break each rule in turn; return 1 if one of them was not missed."""
    survived = []
    for mutant in MUTANTS:
        arguments = ["--profile", asked.profile, "--seed", str(asked.seed), "--mutant", mutant]
        played = subprocess.run(
            [sys.executable, "-m", "tests.chaos", *arguments], stdout=subprocess.PIPE, text=True, check=False
        )
        broken = sorted({line.split(":")[0] for line in played.stdout.splitlines() if "VIOLATION" in line})
        verdict = "red" if played.returncode == 1 and broken else "SURVIVED"
        sys.stdout.write(f"{mutant}: {verdict}; {'; '.join(broken)}\n")
        sys.stdout.flush()
        if verdict != "red":
            survived.append(mutant)
    sys.stdout.write(f"{len(MUTANTS)} mutants, {len(survived)} survived\n")
    return int(bool(survived))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # What it has started is to end with it.
    try:
        sys.exit(main())
    except (Exception, KeyboardInterrupt):
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # Its clients would go on asking for minutes.
