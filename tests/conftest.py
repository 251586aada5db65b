from django.conf import settings


def pytest_report_header() -> str:
    # The suite runs once on each database, and a failure should say on which.
    engine: str = settings.DATABASES["default"]["ENGINE"]
    return f"database: {engine.rpartition('.')[2]}"
