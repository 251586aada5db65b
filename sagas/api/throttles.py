from __future__ import annotations

from typing import Any

from rest_framework.throttling import ScopedRateThrottle


class SagaThrottle(ScopedRateThrottle):
    """Bounds the scopes ``saga-start`` and ``saga-operate``, where the project gives them a rate.

    Rates stand in ``REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]`` and are counted in the default cache: one
    that lives in a process counts that process alone.
    """

    def get_rate(self) -> str | None:
        # Read when asked, for Django REST framework's own copy is made when it is imported.
        from rest_framework.settings import api_settings

        rates: dict[Any, Any] = api_settings.DEFAULT_THROTTLE_RATES or {}
        rate: str | None = rates.get(self.scope)
        return rate
