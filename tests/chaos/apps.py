"""The harness's app: sagas to be tried, in processes that may have been told to break a rule."""

import os

from django.apps import AppConfig

MUTANT = "CHAOS_MUTANT"


class ChaosConfig(AppConfig):
    """Has this process break the engine's rule that its environment names."""

    name = "tests.chaos"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if name := os.environ.get(MUTANT):
            from tests.chaos.mutants import MUTANTS

            MUTANTS[name].break_it()
