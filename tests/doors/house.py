"""What a project's admin pages are made of, where they are not made of Django's own class."""

from django.contrib import admin


class HouseStyle(admin.ModelAdmin):
    """A project's own."""
