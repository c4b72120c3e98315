"""The health of a deployment as one HTML page, beside the status pages of its use cases.

It is a file: it needs no server, loads nothing, and says itself when it is old. It must not ask any part.
"""

from html import escape
from pathlib import Path

from mlplatform.crosscutting.alerting.alert import PLATFORM
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.health.part import Health, Part
from mlplatform.offline.status_page import NAME
from mlplatform.stores.files import write_atomically

_SAID = {"ok": "All is well.", "warning": "Somebody should look.", "problem": "Something is wrong."}
_SAID["off"] = _SAID["ok"]
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<title>Health</title>
<style>
:root {{ --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #fff; --bad: #b3261e; --good: #2e7d32;
  --warn: #9a6700; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6eaf0; --soft: #9aa5b4; --line: #323b47;
  --paper: #12161c; --bad: #ff8a80; --good: #81c784; --warn: #e3b341; }} }}
body {{ margin: 0 auto; max-width: 960px; padding: 24px 20px 60px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }}
table {{ border-collapse: collapse; width: 100%; }}
td {{ padding: 8px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }}
td:nth-child(-n+2) {{ white-space: nowrap; }} td:first-child {{ font-weight: 600; }}
.soft {{ color: var(--soft); font-size: 13px; }} ul {{ margin: 4px 0 0; padding-left: 18px; }}
.problem {{ color: var(--bad); }} .warning {{ color: var(--warn); }} .ok {{ color: var(--good); }}
</style>
</head>
<body>
<h1>Health</h1>
<p class="{state}">{said}</p>
<p id="old" class="problem" hidden>This page is old: Dagster's daemon, which writes it, does not run.</p>
<table>
{rows}
</table>
<p class="soft">As of {at:%Y-%m-%d %H:%M:%S} UTC. On the command line: mlplatform status.</p>
<script>
"use strict";
document.getElementById("old").hidden = Date.now() - Date.parse("{at:%Y-%m-%dT%H:%M:%SZ}") < 180000;
</script>
</body>
</html>
"""


def write(health: Health, settings: Settings) -> Path:
    """Write the page anew; where it is. StoreError if the disk refuses."""
    return write_atomically(settings.reports / PLATFORM / NAME, page(health).encode())


def page(health: Health) -> str:
    """The page, worst parts first."""
    return _PAGE.format(
        state=health.state,
        said=_SAID[health.state],
        rows="\n".join(map(_row, health.worst_first)),
        at=health.at,
    )


def _row(part: Part) -> str:
    details = "".join(f"<li>{escape(each)}</li>" for each in part.details)
    remedy = f'<div class="soft">{escape(part.remedy)}</div>' if part.remedy else ""
    return (
        f'<tr><td>{escape(part.name)}</td><td class="{part.state}">{part.state}</td><td>{escape(part.said)}'
        f"{remedy}{f'<ul class=soft>{details}</ul>' if details else ''}</td></tr>"
    )
