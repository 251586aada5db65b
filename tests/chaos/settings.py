"""The project's settings, with the harness's sagas among the apps."""

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS as PROJECT_APPS
from sagaproject.settings import SAGAS as PROJECT_SAGAS
from tests.chaos.parts import MAX_HOPS, SECRET, SENDER

INSTALLED_APPS = [*PROJECT_APPS, "tests.chaos"]
SAGAS = PROJECT_SAGAS | {
    "REQUIRE_IDEMPOTENCY_KEY": True,
    "EVENT_SENDERS": {SENDER: SECRET},
    "MAX_HOPS": MAX_HOPS,
}
