#!/usr/bin/env bash
# One command for everything. Each verb sets up what it needs in .venv, says what it does, and is quick the second time.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
    cat <<'TEXT'
usage: ./build.sh VERB [ARGUMENTS]

  demo    find a magic number in a million lines, offline, with the sandbox and a scripted model
  test    run the tests (arguments go to pytest); test --fast leaves the slow ones out and takes less than a minute;
          test --under-load [--short] [--rounds 5] runs those in which time passes on a busy machine
  coverage  run the tests, and fail where less of the code is run than pyproject.toml says (some minutes)
  check   lint and format (ruff), floors (import-linter), types (mypy --strict on packages, scripts and tests; pyright on an application)
  bench   print the figures of the README (arguments: --quick, or names of benchmarks)
  bench-rlm  run the field's benchmarks (S-NIAH, OOLONG, OOLONG-Pairs); --help says what there is
  guest-stdlib  run CPython's own tests in the guest and compare with the list (arguments: modules; --help)
  measure  how far one question travels through the code, and circles of imports (--files names the files)
  guest   build the guest from source and compare it with the committed module (--update to replace it)
  setup   only set up .venv
TEXT
}

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

find_python() {
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "build.sh: needs Python 3.11 or newer with the venv module; install it, or name it with PYTHON=..." >&2
    exit 1
}

# .venv holds an editable install and the development tools; it is built again when pyproject.toml changes.
setup() {
    local stamp=.venv/divebell-stamp
    local wanted
    wanted=$(cksum <pyproject.toml)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "setting up .venv (once)"
    "$(find_python)" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
    echo "$wanted" >"$stamp"
}

check_types() {
    .venv/bin/python -m mypy -p divebell -p divebell_command -p divebell_bridge -p divebell_wasm
    .venv/bin/python -m mypy scripts tests
    # The guest's files are the package divebell_guest, with the door's facts among them, under the guest's own Python.
    local inside=.venv/guest_types
    rm -rf "$inside"
    mkdir -p "$inside/divebell_guest"
    cp wasm/divebell_wasm/guest/*.py bridge/divebell_bridge/door/{wire,contract,bounds}.py "$inside/divebell_guest"
    cp wasm/divebell_wasm/guest/_divebell.pyi "$inside"
    (cd "$inside" && MYPYPATH=. ../bin/python -m mypy --config-file ../../pyproject.toml \
        --python-version 3.13 -p divebell_guest)
}

# The types that an application sees, by the other checker that applications use; mypy reads the same files as part
# of the tests. tests/typing/wrong_uses.py has what both must refuse: an ignore that is not needed is an error there.
check_application_types() {
    .venv/bin/basedpyright --project tests/typing/pyrightconfig.json
}

verb=${1:-help}
[ $# -gt 0 ] && shift
case "$verb" in
demo)
    setup
    exec .venv/bin/divebell demo "$@"
    ;;
test)
    setup
    if [ "${1:-}" = --under-load ]; then
        shift
        say "running the tests while other processes burn every core"
        exec .venv/bin/python scripts/under_load.py "$@"
    fi
    if [ "${1:-}" = --fast ]; then
        shift
        say "running the tests except the slow ones"
        exec .venv/bin/python -m pytest -m "not slow" --numprocesses auto --dist loadfile "$@"
    fi
    say "running the tests"
    [ $# -gt 0 ] || set -- --numprocesses auto --dist loadfile # all of them: on every core
    exec .venv/bin/python -m pytest "$@"
    ;;
coverage)
    setup
    say "running the tests, and noting which lines and branches they run"
    exec .venv/bin/python -m pytest --cov --cov-report=term:skip-covered --numprocesses auto --dist loadfile "$@"
    ;;
check)
    setup
    say "ruff check"
    .venv/bin/ruff check .
    say "ruff format"
    .venv/bin/ruff format --check .
    say "import-linter: the floors of the house"
    .venv/bin/lint-imports --no-logo --no-cache
    say "mypy --strict"
    check_types
    say "pyright on an application"
    check_application_types
    ;;
bench)
    setup
    exec .venv/bin/python -m tests.bench.figures "$@"
    ;;
bench-rlm)
    setup
    exec .venv/bin/python -m tests.bench.rlm "$@"
    ;;
guest-stdlib)
    setup
    exec .venv/bin/python -m tests.guest_stdlib "$@"
    ;;
measure)
    setup
    exec .venv/bin/python scripts/measure_house.py "$@"
    ;;
guest)
    PYTHONPATH=wasm exec "$(find_python)" -m divebell_wasm.build "$@"
    ;;
setup)
    setup
    ;;
help | -h | --help)
    usage
    ;;
*)
    echo "build.sh: there is no verb '$verb'" >&2
    usage >&2
    exit 2
    ;;
esac
