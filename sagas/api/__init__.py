"""Sagas over HTTP: start them, follow them, operate them. A project includes `sagas.api.urls`."""
