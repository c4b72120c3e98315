#!/bin/sh
# What some tests want beyond Python packages: a headless Chromium for those of the UI, and a Valkey or Redis
# server for those of the online store. Without them they say "skipped: no …"; so nothing here may fail.
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
LIST
exit 0
