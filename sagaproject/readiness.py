"""Makes a server's process ready for its first request."""

from __future__ import annotations

import gc
from importlib import import_module

from django.conf import settings


def make_ready() -> None:
    """Load what requests need, and have the garbage collector pass by all that was loaded.

    Else the first request waits for the loading, and one in a hundred for a search through all of Django,
    which doubled their 99th percentile.
    """
    import_module(settings.ROOT_URLCONF)  # And with it all views.
    gc.collect()
    gc.freeze()
