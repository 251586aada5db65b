"""The WSGI callable that servers import."""

import os

from django.core.wsgi import get_wsgi_application

from sagaproject.readiness import make_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")

application = get_wsgi_application()
make_ready()
