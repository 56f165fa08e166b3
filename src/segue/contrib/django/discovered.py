"""Importing this module sets up Django and imports the tasks of all apps, for `segue worker -A`.

`manage.py segue` names it by itself. It needs DJANGO_SETTINGS_MODULE, like everything in Django.
"""

from __future__ import annotations

import django
from django.apps import apps
from django.db import connections

from segue.contrib.django.discovery import discover_tasks
from segue.errors import ConfigError

if not apps.ready:
    django.setup()
if not apps.is_installed("segue.contrib.django"):
    raise ConfigError('Add "segue.contrib.django" to INSTALLED_APPS in the settings.')
discover_tasks()
connections.close_all()  # what an app has opened meanwhile: the children of a process pool are forked from here
