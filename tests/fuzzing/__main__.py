"""Asks the API for whatever its schema allows and forbids, as nobody, as a viewer and as an operator.

    python -m tests.fuzzing [--seconds 90] [--seed 1] [--only operator] [-- SCHEMATHESIS OPTION …]

Needs DATABASE_URL to name an empty database: `make fuzz` brings a PostgreSQL of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

from orders.demo.processes import ManagedCommand
from tests.served import Served

IDENTITIES = ("anonymous", "viewer", "operator")
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "412", "422"]
NOT_ALL_IN_THE_SCHEMA = (
    # Cursors are opaque; an order’s products are in the database; a batch’s arguments are its operation’s.
    r"^/api/v1/(sagas|orders|batches|outbox|deliveries|dead-letters)/$",
    r"/items/$",
    r"^/api/v1/sagas/\{id\}/[a-z]+/$",  # The saga says which steps it has. And If-Match is drawn unquoted.
    r"/operations/\{name\}/$",
    r"/holds/$",  # One of two fields is needed, and so a body.
)
SILENT = {"LOG_LEVEL": "CRITICAL"}


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="For each identity.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=IDENTITIES)
    parser.add_argument("options", nargs="*")
    asked = parser.parse_args()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")
    import django

    django.setup()
    from tests.fuzzing.shop import open_for_everyone

    opened = open_for_everyone()
    found = 0
    with (
        ManagedCommand("qcluster", defaults=SILENT),
        Served(environment=SILENT) as served,
        tempfile.TemporaryDirectory() as folder,
    ):
        config = Path(folder) / "schemathesis.toml"
        config.write_text(_config(opened.sagas))
        for identity in (asked.only,) if asked.only else IDENTITIES:
            sys.stderr.write(f"As {identity}\n")
            found |= subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run"),
                    *("--checks", "all", "--max-time", str(asked.seconds), "--seed", str(asked.seed)),
                    *("--no-color", "--continue-on-failure", "--warnings", "off"),
                    # NUL is refused wherever it stands, which no schema says of each string.
                    *("--generation-allow-x00", "false", "--generation-database", "none"),
                    *_headers(opened.tokens[identity]),
                    *asked.options,
                    f"{served.url}/api/schema/?format=json",
                ],
                cwd=folder,
                check=False,
            ).returncode
    return found


def _headers(token: str | None) -> list[str]:
    return ["--header", f"Authorization: Token {token}"] if token else []


def _config(sagas: list[str]) -> str:
    """Have half of the requests meet sagas that are there."""
    return "\n".join(
        [
            "[dictionaries.sagas]",
            f"values = {json.dumps(sagas)}",
            "[parameters]",
            '"path.id" = { dictionary = "sagas", probability = 0.5 }',
            # Whether a precondition holds, or a key is new, no schema says of a request.
            "[checks.positive_data_acceptance]",
            f"expected-statuses = {json.dumps(ACCEPTED)}",
            *(
                "[[operations]]\n"
                f"include-path-regex = {json.dumps(path)}\n"
                f"checks.positive_data_acceptance.expected-statuses = {json.dumps([*ACCEPTED, '400'])}"
                for path in NOT_ALL_IN_THE_SCHEMA
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
