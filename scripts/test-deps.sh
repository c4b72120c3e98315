#!/bin/sh
# What some tests want beyond Python packages: a headless Chromium for the tests of the UI. Without it they say
# "skipped: no Chromium"; so nothing here may fail.
for browser in chromium chromium-browser google-chrome; do
  if command -v "$browser" >/dev/null 2>&1; then
    echo "Chromium is there: $(command -v "$browser")"
    exit 0
  fi
done

if [ "$(id -u 2>/dev/null)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  as_root="none"
fi

if ! command -v apt-get >/dev/null 2>&1 || [ "$as_root" = none ]; then
  echo "No Chromium, and no apt-get or no root to install it: install it yourself, or the UI tests are skipped."
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
if $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium; then
  echo "Chromium is installed."
else
  echo "Chromium could not be installed; the UI tests are skipped."
fi
exit 0
