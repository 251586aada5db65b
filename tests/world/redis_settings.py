"""The world's settings, with django-q2's messages in Redis."""

import os

from tests.world.settings import *  # noqa: F403
from tests.world.settings import Q_CLUSTER, SAGAS

Q_CLUSTER = {name: value for name, value in Q_CLUSTER.items() if name not in ("orm", "broker_class")}
Q_CLUSTER["redis"] = {"unix_socket_path": os.environ["REDIS_SOCKET"]}
SAGAS = {name: value for name, value in SAGAS.items() if name != "ALLOWED_TASKS"}
