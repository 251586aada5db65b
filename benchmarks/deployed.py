"""The settings under which all is measured: those of a project that is deployed."""

from __future__ import annotations

import os
from secrets import token_urlsafe

DEPLOYED = {
    "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
    "DEBUG": "0",  # With it, Django remembers every statement, and none is prepared.
    "SECRET_KEY": token_urlsafe(50),
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "SECURE_SSL_REDIRECT": "0",
    "Q_WORKERS": "2",
    "LOG_LEVEL": "WARNING",
}


def deploy(address: str, **more: str) -> None:
    """Have this process and those that it starts work with this database."""
    os.environ.update(DEPLOYED | {"DATABASE_URL": address} | more)
