from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from sagas.signals import saga_compensated


class OrdersConfig(AppConfig):
    """The shop. Its sagas are found by `sagas`, which looks into every app's `sagas` module."""

    name = "orders"
    verbose_name = _("Orders")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orders.receivers import cancel_what_was_never_accepted

        saga_compensated.connect(cancel_what_was_never_accepted, dispatch_uid="orders.cancel")
