"""Running Python in an environment that says only what a test wants it to."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

OURS = (
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "ALLOWED_HOSTS", "DATABASE_URL", "DEBUG"),
    *("Q_WORKERS", "Q_NOTIFY", "Q_CLUSTER_NAME", "SAGAS_LEASE", "PREPARE_STATEMENTS"),
)


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in the project's folder with `environment`, and nothing else of what our settings read."""
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=inherited | {"DJANGO_SETTINGS_MODULE": "sagaproject.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
