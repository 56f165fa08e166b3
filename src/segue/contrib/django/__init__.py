"""Segue in a Django project: add `"segue.contrib.django"` to INSTALLED_APPS.

    settings        what `SEGUE = {...}` in the settings may say
    addresses       the database's URL, from DATABASES
    project         `segue`, the object that a project works with
    stores          what happens on Django's own connection: in a transaction, and in tests
    watching        when observers hear of it
    connections     Django's connections around attempts, a middleware
    discovery       finds the tasks of all apps; importing `discovered` also sets up Django, for workers
    apps, checks    what Django calls when it starts, after `migrate` and in `check`
    models, admin   runs and steps in the admin, to look at
    testing         for tests of projects
    tasks           a backend of Django's own tasks (Django 6.0 and newer)
    management      `manage.py segue`

Example::

    from segue.contrib.django import segue

    with transaction.atomic():
        order.save()
        segue.start(ship, order.pk)   # begins with the commit, or never existed
"""

from segue.contrib.django.project import DjangoSegue, segue

__all__ = ["DjangoSegue", "segue"]
