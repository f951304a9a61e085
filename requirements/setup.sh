#!/bin/sh
# Usage: setup.sh VENV LOCK. Builds the virtual environment VENV from the hash-pinned LOCK, then
# installs this package into it, editable. Run from the root of the repository; `make setup` does.
# PYTHON=/path/to/python chooses the interpreter.
set -eu
venv=$1
lock=$2
say() { printf '%s\n' "$*" >&2; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:-python3.12 python3 python3.13 python3.14 python}; do
        if new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

# A folder left by a removed or older interpreter is of no use: build it anew.
if [ -e "$venv" ] && ! new_enough "$venv/bin/python"; then
    if [ ! -f "$venv/pyvenv.cfg" ]; then
        say "setup: $venv is not a virtual environment (it has no pyvenv.cfg), so it is left as it is."
        say "       Move it away, or choose another folder, as in: make setup VENV=.venv2"
        exit 1
    fi
    say "setup: $venv has no working Python >= 3.12; rebuilding it"
    rm -rf "$venv"
fi

python=$(find_python)
if [ -n "${PYTHON:-}" ] && [ -z "$python" ]; then
    say "setup: PYTHON=$PYTHON is not a working Python >= 3.12."
    exit 1
fi

install_with_uv() {
    "$1" pip install --quiet --python "$venv/bin/python" --require-hashes --no-deps --requirement "$lock" &&
        "$1" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
}

if command -v uv >/dev/null 2>&1; then
    # If there is no suitable Python, let uv find or fetch one.
    [ -e "$venv" ] || uv venv --quiet --python "${python:->=3.12}" "$venv"
    install_with_uv uv
    exit 0
fi

if [ ! -e "$venv" ]; then
    if [ -z "$python" ]; then
        say "setup: needs Python >= 3.12; python3 is $(python3 --version 2>&1 || true)."
        say "       Install one (https://www.python.org/downloads), or install uv, which fetches it."
        exit 1
    fi
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        say "setup: $python lacks the modules venv and ensurepip."
        say "       On Debian or Ubuntu: apt-get install python3-venv. Or install uv."
        exit 1
    fi
    "$python" -m venv "$venv"
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$venv/bin/python" -m ensurepip >/dev/null
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1

# The lock pins uv itself, which installs the rest in a tenth of pip's time. pip remains the way
# where uv has no wheel or does not reach the index that pip is configured for.
awk '/^uv==/ { found = 1 } found { print } found && !/\\$/ { exit }' "$lock" >"$venv/uv.txt"
if "$venv/bin/python" -m pip install --quiet --require-hashes --no-deps --requirement "$venv/uv.txt" &&
    install_with_uv "$venv/bin/uv"; then
    exit 0
fi
say "setup: uv could not install the packages; going on with pip"
"$venv/bin/python" -m pip install --quiet --require-hashes --no-deps --requirement "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
