"""The WSGI callable that servers import."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")

application = get_wsgi_application()
