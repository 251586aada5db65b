import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from django.core.exceptions import ImproperlyConfigured

from sagaproject.secret_key import development_key


def test_it_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".secret_key"

    key = development_key(path)

    assert development_key(path) == path.read_text().strip() == key
    assert len(key) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_many_that_ask_at_once_all_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / ".secret_key"
    together = Barrier(16)

    def ask(_: int) -> str:
        together.wait()
        return development_key(path)

    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(ask, range(16)))

    assert set(keys) == {path.read_text().strip()}
    assert list(tmp_path.iterdir()) == [path]


def test_who_loses_the_race_to_write_it_reads_the_winners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".secret_key"
    path.write_text("the winner's\n")
    monkeypatch.setattr(Path, "exists", lambda path: False)

    assert development_key(path) == "the winner's"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "missing" / ".secret_key"

    with pytest.raises(ImproperlyConfigured) as refusal:
        development_key(path)

    assert str(refusal.value) == (
        f"SECRET_KEY is not set, and the key kept for development in {path} could not be read or written: "
        "No such file or directory. Run as the user who owns that file and folder, or set SECRET_KEY."
    )


def test_an_empty_file_is_a_sentence_and_no_key(tmp_path: Path) -> None:
    path = tmp_path / ".secret_key"
    path.touch()

    with pytest.raises(ImproperlyConfigured) as refusal:
        development_key(path)

    assert str(refusal.value) == (
        f"SECRET_KEY is not set, and {path}, where a key is kept for development, is empty. Delete that "
        "file, so that a new key is written, or set SECRET_KEY."
    )
