"""What drf-spectacular says of this API in an OpenAPI schema. Imported where it is installed."""

from sagas.api.openapi import bodies, events, views

__all__ = ["bodies", "events", "views"]
