#!/bin/sh
# What some tests want beyond the packages of the project: a headless Chromium for those of the UI, a Valkey or
# Redis server for those of the online store, a Prometheus for those of the metrics, the clients of others for
# those of the Open Inference Protocol.
# Without them they say "skipped: no …"; so nothing here may fail.
export DEBIAN_FRONTEND=noninteractive
listed=""

if [ "$(id -u 2>/dev/null)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  as_root="none"
fi

# Says where the first of some programs is; false if none is there.
there() {
  for program in "$@"; do
    if command -v "$program" >/dev/null 2>&1; then
      echo "$name is there: $(command -v "$program")"
      return 0
    fi
  done
  return 1
}

# Installs the first of some packages that this system has.
install() {
  [ -n "$listed" ] || $as_root apt-get update -qq
  listed=yes
  for package in "$@"; do
    $as_root apt-get install -y -qq --no-install-recommends "$package" && return 0
  done
  return 1
}

# name | programs | packages, the preferred ones first
while IFS='|' read -r name programs packages; do
  # The lists are words to be split.
  # shellcheck disable=SC2086
  if there $programs; then
    continue
  elif ! command -v apt-get >/dev/null 2>&1 || [ "$as_root" = none ]; then
    echo "No $name, and no apt-get or no root to install it: install it yourself, or its tests are skipped."
  elif install $packages </dev/null; then
    echo "$name is installed."
  else
    echo "$name could not be installed; its tests are skipped."
  fi
done <<LIST
Chromium|chromium chromium-browser google-chrome|chromium
Valkey|valkey-server redis-server|valkey-server redis-server
Prometheus|prometheus|prometheus
LIST

# The clients take an older pandas than the project, so they live in an environment of their own.
venv="${VENV:-.venv}"
clients="$venv/clients"
if [ -e "$clients/.ready" ] && [ ! requirements-clients.lock -nt "$clients/.ready" ]; then
  echo "The clients tritonclient and kserve are there: $clients"
elif "$venv/bin/python" -m venv "$clients" &&
  "$venv/bin/uv" pip install -q --python "$clients/bin/python" --no-deps --require-hashes \
    -r requirements-clients.lock && touch "$clients/.ready"; then
  echo "The clients tritonclient and kserve are installed: $clients"
else
  echo "The clients tritonclient and kserve could not be installed; their tests are skipped."
fi
exit 0
