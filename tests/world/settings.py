"""The project's settings, with the world's sagas among the apps: for workers that tests start."""

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS as PROJECT_APPS

INSTALLED_APPS = [*PROJECT_APPS, "tests.world"]
