"""The SECRET_KEY of a project that was given none."""

import os
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key


def development_key(path: Path) -> str:
    """Return the key kept in `path`, which the first process to ask for it writes.

    Every process has to get the same one: django-q2 signs its messages with it, and a worker with another key
    deletes each message it takes.
    """
    try:
        if not path.exists():
            _write(path)
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"SECRET_KEY is not set, and the key kept for development in {path} could not be read or "
            f"written: {error.strerror}. Run as the user who owns that file and folder, or set SECRET_KEY."
        ) from error
    if not key:
        raise ImproperlyConfigured(
            f"SECRET_KEY is not set, and {path}, where a key is kept for development, is empty. Delete that "
            "file, so that a new key is written, or set SECRET_KEY."
        )
    return key


def _write(path: Path) -> None:
    # Written aside and then linked: the file appears whole, and of two processes at once only one can link.
    handle, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # mkstemp makes it 0600.
    try:
        with os.fdopen(handle, "w") as file:
            file.write(get_random_secret_key() + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass  # Another process was first; its key is the one to read.
    finally:
        os.unlink(draft)
