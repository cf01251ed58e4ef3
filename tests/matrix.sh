#!/bin/sh
# The quick tests on each Python from 3.10 that is installed, with the pinned Prefect; and on 3.12 with the oldest one.
# Each combination gets a virtual environment of its own under .matrix; a failure does not stop the others.
set -u
cd "$(dirname "$0")/.."
export PREFECT_SERVER_ANALYTICS_ENABLED=false UV_PYTHON_DOWNLOADS=never
TESTS="tests/prefect/test_track_definition.py tests/prefect/test_flow_runs.py tests/prefect/test_returned_states.py
  tests/prefect/test_quiet.py tests/prefect/test_events.py tests/prefect/test_live.py tests/tracking/test_run_tracker.py"
failed=""

try() { # NAME PYTHON REQUIREMENT...
  name=$1 python=$2
  shift 2
  place=.matrix/$name
  if ! uv venv -q --allow-existing -p "$python" "$place" 2>/dev/null; then
    echo "$name: no Python $python here"
    return
  fi
  uv pip install -q -p "$place/bin/python" "$@" -e . pytest pytest-asyncio pytest-timeout hypothesis || { failed="$failed $name"; return; }
  home=$(mktemp -d)
  # shellcheck disable=SC2086
  PREFECT_HOME=$home "$place/bin/python" -m pytest -p no:cacheprovider $TESTS >".matrix/$name.log" 2>&1 || failed="$failed $name"
  echo "$name: $(tail -1 ".matrix/$name.log")"
  rm -rf "$home"
}

mkdir -p .matrix
for version in 3.10 3.11 3.12 3.13; do try "python-$version" "$version" -c constraints.txt; done
try oldest-prefect 3.12 'prefect==3.6.0' 'fastapi<0.116' 'sqlalchemy<2.1'
[ -z "$failed" ] || { echo "failed:$failed (logs in .matrix)"; exit 1; }
