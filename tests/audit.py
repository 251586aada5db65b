"""Asks where advisories are kept whether what is installed has known holes.

``python -m tests.audit PIP_AUDIT FOLDER`` has pip-audit look at the packages in a folder. It fails if one
has a hole. What could not be looked up is told and is no failure: not every machine reaches the feed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

WITHIN = 120
"""Seconds."""


def judged(report: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether there is nothing against these packages, and what to say. `report` is pip-audit's."""
    packages = report["dependencies"]
    looked_up = [package for package in packages if "vulns" in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in looked_up
        for hole in package["vulns"]
    ]
    if holes:
        return False, "\n".join(holes)
    if not looked_up:
        return True, f"Not audited: the feed knows none of the {len(packages)} packages, or is out of reach."
    left = len(packages) - len(looked_up)
    return True, f"No known holes in {len(looked_up)} packages; {left} could not be looked up."


def audit(program: str, folder: str) -> tuple[bool, str]:
    """Run pip-audit over the packages in a folder, and judge what it says."""
    command = [program, "--path", folder, "--format", "json", "--progress-spinner", "off"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
        return judged(json.loads(told.stdout))
    except (OSError, subprocess.TimeoutExpired) as error:
        return True, f"Not audited: {error}."
    except json.JSONDecodeError:
        return True, f"Not audited: {told.stderr.strip().rpartition(chr(10))[2] or 'pip-audit said nothing.'}"


def main(arguments: Sequence[str]) -> int:
    """Print the judgement; return what to exit with."""
    is_well, told = audit(*arguments)
    print(told)  # noqa: T201
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
