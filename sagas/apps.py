from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class SagasConfig(AppConfig):
    """Finds every app's `sagas` module and registers the system checks."""

    name = "sagas"
    verbose_name = _("Sagas")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from sagas import checks  # noqa: F401  (registers on import)
        from sagas.queue import checks as queue_checks  # noqa: F401

        autodiscover_modules("sagas")

        from sagas.choreography import transports, webhooks

        webhooks.install()
        transports.install()
