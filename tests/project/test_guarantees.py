"""What the documentation says is tested is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs/explanation/guarantees.md").read_text())


def test_each_promise_names_its_tests():
    assert len(NAMED) >= 14


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_is_there(file, test):
    assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
