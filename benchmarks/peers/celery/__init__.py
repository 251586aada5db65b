"""Celery: a chain of three tasks; messages and results in a Redis that writes an append-only file."""
