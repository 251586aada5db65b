from django.conf import settings

pytest_plugins = ["sagas.testing.plugin", "tests.samples"]


def pytest_report_header() -> str:
    # The suite runs once on each database, and a failure should say on which.
    engine: str = settings.DATABASES["default"]["ENGINE"]
    return f"database: {engine.rpartition('.')[2]}"
