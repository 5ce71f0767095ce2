"""Django as a project has it, once for every test of a process."""

from __future__ import annotations

import django

from django.conf import settings


def set_up() -> None:
    """Configure it, unless another test has."""
    if not settings.configured:
        settings.configure(
            DATABASES={
                "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
            },
            USE_TZ=True,
        )
        django.setup()
