#!/bin/sh
# Runs the tests of the app for Django with each version of Django that this Python can have, in environments of their
# own, which stay for the next time.
#
#   scripts/django-matrix.sh PYTHON [ARGUMENTS OF PYTEST]
set -eu

python=$1
shift

versions="4.2 5.2"
if "$python" -c "import sys; sys.exit(sys.version_info < (3, 12))"; then
    versions="$versions 6.0"
else
    echo "Django 6.0 needs Python 3.12 or newer; name one with PYTHON=..."
fi
failed=""
for version in $versions; do
    folder=.venv-django-$version
    if [ ! "$folder/.installed" -nt pyproject.toml ]; then
        echo "Installing Segue and Django $version into $folder ..."
        scripts/make-venv.sh "$python" "$folder"
        "$folder/bin/python" -m pip --disable-pip-version-check install --quiet --editable ".[dev]" "django~=$version.0"
        touch "$folder/.installed"
    fi
    echo "Django $version:"
    "$folder/bin/python" -m pytest -n 2 -q tests/system/django tests/unit/test_django_addresses.py tests/docs/test_django.py \
        "$@" || failed="$failed $version"
done
if [ -n "$failed" ]; then
    echo "Tests fail with Django$failed." >&2
    exit 1
fi
