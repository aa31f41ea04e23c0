"""The models of the Django session: an app of its own, whose tables Django's own migrations make."""
import os

import django
from django.conf import settings


def configure():
    settings.configure(
        SECRET_KEY="nothing is signed here",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.postgres", "shop"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": os.environ["PGDATABASE"],
                "USER": os.environ["PGUSER"],
                "PASSWORD": os.environ.get("PGPASSWORD", ""),
                "HOST": os.environ["PGHOST"],
                "PORT": os.environ["PGPORT"],
                "OPTIONS": {"sslmode": "disable"},
            }
        },
    )
    django.setup()
