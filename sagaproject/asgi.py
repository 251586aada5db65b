"""The ASGI callable that servers import."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")

application = get_asgi_application()
