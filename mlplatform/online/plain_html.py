"""The pieces that pages without a script are made of: every value is escaped here, or is HTML already.

It must not know what is shown.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #fff; --back: #f4f6f8; --link: #2563a8;
  --bad: #b3261e; --good: #2e7d32; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #323b47;
  --paper: #1b2129; --back: #12161c; --link: #6ea8e6; --bad: #ff8a80; --good: #81c784; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 0 0 8px; }
a { color: var(--link); }
.soft { color: var(--soft); } .bad { color: var(--bad); } .good { color: var(--good); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px;
  margin-top: 16px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.wide { white-space: normal; min-width: 18em; }
th { color: var(--soft); font-weight: 600; font-size: 13px; } td.number, th.number { text-align: right; }
.scroll { overflow-x: auto; } code { font-size: 13px; } ul { margin: 0; padding-left: 18px; }
form { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 12px; }
input { flex: 1 1 22em; font: inherit; padding: 6px 10px; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: 6px; }
button { font: inherit; padding: 6px 16px; border: 0; border-radius: 6px; color: var(--paper);
  background: var(--link); }
@media (max-width: 600px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } }
"""
_FORM = (
    '<form action="/trace" method="get"><input name="id" required maxlength="64" autocomplete="off" '
    'aria-label="id" placeholder="prediction id (32 digits) or batch id (24 digits)">'
    "<button>Trace</button></form>"
)
Row = Sequence[str]


def page(title: str, body: str) -> str:
    """A whole page: the form of `/trace`, and what is below it as HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · trace</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{_FORM}{body}</main></body></html>"
    )


def section(title: str, body: str) -> str:
    """A part of a page under its title; `body` is HTML already."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def listed(title: str, sentences: Sequence[str], name: str) -> str:
    """Sentences as a section, with the class `name`; nothing where there are none."""
    lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return section(title, f'<ul class="{name}">{lines}</ul>') if lines else ""


def facts(told: Iterable[tuple[str, Any]]) -> str:
    """Names and values beside each other."""
    lines = (f"<dt>{escape(str(name))}</dt><dd>{escape(_text(value))}</dd>" for name, value in told)
    return f"<dl>{''.join(lines)}</dl>"


def table(names: Sequence[str], rows: Iterable[Row]) -> str:
    """A table of cells that are HTML already; the columns of `#` names are numbers, those of `~` may wrap."""
    kinds = [{"#": "number", "~": "wide"}.get(name[0], "") for name in names]
    head = "".join(
        f'<th class="{kind}">{name.lstrip("#~")}</th>' for kind, name in zip(kinds, names, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    if not lines:
        return "<span class=soft>none</span>"
    return f'<div class="scroll"><table><tr>{head}</tr>{lines}</table></div>'


def escaped(row: Row) -> Row:
    """The cells of a row as HTML."""
    return [escape(str(cell)) for cell in row]


def code(text: str) -> str:
    """An id or a hash."""
    return f"<code>{escape(text)}</code>"


def link(path: str, id: str, text: str) -> str:
    """A link to what an id leads to."""
    return f'<a href="/{path}/{escape(id)}">{code(text)}</a>'


def marked(text: str, good: bool) -> str:
    """A word that says whether all is well."""
    return f'<span class="{"good" if good else "bad"}">{escape(text)}</span>'


def number(value: Any) -> str:
    """A value as it is read: six digits of a fraction."""
    return f"{value:.6g}" if isinstance(value, float) else "missing" if value is None else str(value)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "–"}[value]
    return str(value)
