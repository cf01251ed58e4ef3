#!/bin/sh
# The quick tests on each Python from 3.10 that is installed, with the pinned Prefect; with the oldest Prefect that is
# allowed, on the oldest Python and on 3.12; and with the newest that can be installed. Each cell gets a virtual
# environment of its own under .matrix, and a log; a failure does not stop the others.
# `sh tests/matrix.sh 3.11 oldest` runs the cells whose names hold one of the words; TESTS says which tests.
set -u
cd "$(dirname "$0")/.."
export PREFECT_SERVER_ANALYTICS_ENABLED=false PIP_DISABLE_PIP_VERSION_CHECK=1
FLOOR=${FLOOR:-3.5.0}
TESTS=${TESTS:-"tests/prefect/test_track_definition.py tests/prefect/test_flow_runs.py tests/prefect/test_returned_states.py
  tests/prefect/test_quiet.py tests/prefect/test_events.py tests/prefect/test_live.py tests/prefect/test_blocks.py
  tests/tracking/test_run_tracker.py"}
TOOLS="pytest pytest-asyncio pytest-timeout pytest-rerunfailures hypothesis"
WORDS="$*"
failed=""

python_of() { # VERSION: where it is, on the path or at pyenv
  shim=$(command -v "python$1")  # pyenv's own, which knows where its versions are, whatever HOME says
  for found in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python \
    "${shim%/shims/*}/versions/$1".*/bin/python; do
    if "$found" -c "import sys; assert '%d.%d' % sys.version_info[:2] == '$1'" 2>/dev/null; then
      echo "$found"
      return
    fi
  done
}

wanted() { # NAME
  [ -z "$WORDS" ] && return 0
  for word in $WORDS; do
    case $1 in *"$word"*) return 0 ;; esac
  done
  return 1
}

try() { # NAME PYTHON REQUIREMENT...
  name=$1 python=$(python_of "$2") place=.matrix/$1
  wanted "$name" || return
  [ -n "$python" ] || { echo "$name: skipped, as there is no Python $2 on the path or at pyenv"; return; }
  shift 2
  [ -x "$place/bin/python" ] || "$python" -m venv "$place"
  # shellcheck disable=SC2086
  if ! "$place/bin/python" -m pip install -q "$@" -e . $TOOLS >"$place.log" 2>&1; then
    echo "$name: can't be installed"
    failed="$failed $name"
    return
  fi
  home=$(mktemp -d)
  # shellcheck disable=SC2086
  PREFECT_HOME=$home "$place/bin/python" -m pytest -p no:cacheprovider $TESTS >"$place.log" 2>&1 || failed="$failed $name"
  what=$("$place/bin/python" -c 'import platform, prefect; print("Python", platform.python_version() + ", Prefect", prefect.__version__)')
  echo "$name: $what: $(grep -aE '^[0-9]+ (passed|failed)|passed|failed' "$place.log" | tail -1)"
  rm -rf "$home"
}

mkdir -p .matrix
for version in 3.10 3.11 3.12 3.13; do try "python-$version" "$version" -c constraints.txt; done
for version in 3.10 3.12; do
  try "oldest-prefect-$version" "$version" "prefect==$FLOOR" 'fastapi<0.116' 'sqlalchemy<2.1'
done
try newest-prefect 3.13 'prefect<4'  # as pip gives it to a stranger, without pins
[ -z "$failed" ] || { echo "failed:$failed (logs in .matrix)"; exit 1; }
