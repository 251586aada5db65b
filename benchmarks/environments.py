"""Python environments of the peers, each made once and again when its requirements change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT

PEERS = Path(__file__).with_name("peers")
KEPT_IN = ROOT / ".bench"


class NoEnvironment(Exception):
    """A peer cannot be installed here."""


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment, which is made if need be."""
    requirements = PEERS / peer / "requirements.txt"
    home = KEPT_IN / peer
    made_for = home / "made-for.txt"
    python = home / "bin" / "python"
    if made_for.exists() and made_for.read_text() == requirements.read_text():
        return python
    shutil.rmtree(home, ignore_errors=True)
    sys.stderr.write(f"Installing {peer} in {home.relative_to(ROOT)}.\n")
    _run(sys.executable, "-m", "venv", home)
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
    shutil.copy(requirements, made_for)
    return python


def _run(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or ["it did not say why"]
        raise NoEnvironment(f"its requirements could not be installed: {said[-1]}")
