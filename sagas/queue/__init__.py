"""The door for django-q2: its tasks, and what must be right about its settings."""
