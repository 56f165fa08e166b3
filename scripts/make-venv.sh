#!/bin/sh
# Creates a virtual environment with pip, on machines where `python3 -m venv` alone is not enough.
#
#   scripts/make-venv.sh PYTHON FOLDER
#
# Debian ships Python without ensurepip, so a plain venv fails there. The script tries, in this order: venv; venv
# without pip, filled by the system's pip (without special rights); Debian's python3-venv (as root). It does nothing if
# FOLDER already is a working environment.
set -eu

python=$1
folder=$2

say() { printf '%s\n' "$*" >&2; }

works() { "$folder/bin/python" -m pip --version >/dev/null 2>&1; }

if ! command -v "$python" >/dev/null 2>&1; then
    say "Segue needs Python 3.11 or newer, and '$python' was not found."
    say "Install Python, or name one: make demo PYTHON=/path/to/python3.12"
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "Segue needs Python 3.11 or newer; '$python' is $("$python" -c 'import platform; print(platform.python_version())')."
    say "Name a newer one: make demo PYTHON=python3.12"
    exit 1
fi

if works && "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    exit 0
fi

if [ -e "$folder" ] && [ ! -e "$folder/pyvenv.cfg" ]; then
    say "$folder exists and is not a virtual environment; move it away, or name another: make demo VENV=.venv-segue"
    exit 1
fi

attempt() {
    rm -rf "$folder"
    "$@" >"$log" 2>&1 && works
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

venv_with_foreign_pip() {
    "$python" -m venv --without-pip "$folder" && "$python" -m pip --python "$folder/bin/python" install --quiet pip
}

venv_with_debian_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv && "$python" -m venv "$folder"
}

attempt "$python" -m venv "$folder" && exit 0
attempt venv_with_foreign_pip && exit 0
attempt venv_with_debian_package && exit 0

rm -rf "$folder"
say "'$python' cannot make a virtual environment in $folder. The last try said:"
tail -n 5 "$log" >&2
say "Install its venv module (Debian: sudo apt-get install python3-venv) or pip (sudo apt-get install python3-pip),"
say "then try again."
exit 1
