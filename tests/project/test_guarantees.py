"""What the documentation says is tested is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sagas.states import Attention

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/explanation").glob("*.md"))
NAMED = sorted({each for page in PAGES for each in re.findall(r"`(tests/\S+\.py)::(\w+)`", page.read_text())})


def test_each_promise_names_its_tests():
    assert len(NAMED) >= 14


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_is_there(file, test):
    assert re.search(rf"^ *(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_the_runbook_knows_every_attention():
    runbook = (ROOT / "docs/runbook.md").read_text()
    assert set(Attention) <= set(re.findall(r"^\| `(\w+)` \|", runbook, re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "docs/console.md"])
def test_the_runbook_is_found(page):
    assert "runbook.md" in (ROOT / page).read_text()
