"""Settings. Without SHOP_DATABASE_NAME the database is a SQLite file; with it, PostgreSQL."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "only for this example"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "segue.contrib.django",
    "orders",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

if os.environ.get("SHOP_DATABASE_NAME"):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["SHOP_DATABASE_NAME"],
            "USER": os.environ.get("SHOP_DATABASE_USER", ""),
            "PASSWORD": os.environ.get("SHOP_DATABASE_PASSWORD", ""),
            "HOST": os.environ.get("SHOP_DATABASE_HOST", ""),
            "PORT": os.environ.get("SHOP_DATABASE_PORT", ""),
            "CONN_MAX_AGE": None,  # connections stay open; workers notice when the server has closed them
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SHOP_FILE", BASE_DIR / "shop.sqlite3"),
            "OPTIONS": {"timeout": 20},
        }
    }

SEGUE = {"TASK_MODULES": ["tasks", "workflows"]}
