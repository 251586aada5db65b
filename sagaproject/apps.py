from django.apps import AppConfig, apps
from django.contrib import admin


class SagaProjectConfig(AppConfig):
    """Takes django-q2's models out of the admin.

    Whoever may add a `Schedule` there, or resubmit a task, runs any callable of the project: no right for
    staff to get by accident. Stands last in INSTALLED_APPS, when the admin has found all that it will find.
    """

    name = "sagaproject"

    def ready(self) -> None:
        for model in apps.get_app_config("django_q").get_models():
            if admin.site.is_registered(model):
                admin.site.unregister(model)
