"""Packages with known holes fail the checks; a feed that is out of reach is told."""

from __future__ import annotations

import sys

import pytest

from tests.audit import audit, judged

FINE = {"name": "django", "version": "5.2.19", "vulns": []}
HOLED = {
    "name": "jinja2",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN = {"name": "orders", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "judgement"),
    [
        ([FINE, UNKNOWN], (True, "No known holes in 1 packages; 1 could not be looked up.")),
        (
            [FINE, HOLED],
            (
                False,
                "jinja2 2.0: PYSEC-1, mended in 2.1\njinja2 2.0: PYSEC-2, mended in no version yet",
            ),
        ),
        (
            [UNKNOWN],
            (True, "Not audited: the feed knows none of the 1 packages, or is out of reach."),
        ),
    ],
)
def test_what_was_found_is_told(packages, judgement):
    assert judged({"dependencies": packages}) == judgement


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("print('{')", "Not audited: pip-audit said nothing."),
        ("import sys; sys.exit('ConnectionError: no route')", "Not audited: ConnectionError: no route"),
    ],
)
def test_a_program_that_finds_nothing_out_fails_nobody(tmp_path, says, told):
    program = tmp_path / "pip-audit"
    program.write_text(f"#!{sys.executable}\n{says}\n")
    program.chmod(0o755)
    assert audit(str(program), "folder") == (True, told)


def test_nor_one_that_is_not_there(tmp_path):
    is_well, told = audit(str(tmp_path / "gone"), "folder")
    assert is_well
    assert told.startswith("Not audited: ")
