#!/bin/sh
# Runs the tests of the Celery executor with each version of Celery, in environments of their own.
#
#   scripts/celery-matrix.sh PYTHON [ARGUMENTS OF PYTEST]
#
# The environments stay for the next time. Celery 5.2 is too old: `install` must say so.
set -eu

python=$1
shift

environment() {
    folder=.venv-celery-$1
    if [ "$folder/.installed" -nt pyproject.toml ]; then
        return
    fi
    echo "Installing Segue and Celery $1 into $folder ..."
    scripts/make-venv.sh "$python" "$folder"
    "$folder/bin/python" -m pip --disable-pip-version-check install --quiet --editable "$2" "celery~=$1.0"
    touch "$folder/.installed"
}

environment 5.2 "."
if said=$(.venv-celery-5.2/bin/python -c "
from celery import Celery
from segue.executors.celery import install
install(Celery('old'), None)" 2>&1); then
    echo "Celery 5.2 was not refused." >&2
    exit 1
fi
case $said in
*"Segue needs Celery 5.3 or newer"*) echo "Celery 5.2: refused, as it must be" ;;
*) echo "Celery 5.2 was refused for another reason:"; echo "$said"; exit 1 ;;
esac

export SEGUE_TEST_THOROUGH=1  # on both databases
failed=""
for version in 5.3 5.5 5.7; do
    environment "$version" ".[dev]"
    echo "Celery $version:"
    ".venv-celery-$version/bin/python" -m pytest -n auto --dist worksteal -q tests/executors/celery tests/executors/compat \
        tests/unit/executors "$@" \
        || failed="$failed $version"
done
if [ -n "$failed" ]; then
    echo "Tests fail with Celery$failed." >&2
    exit 1
fi
