"""`mlplatform keys`: make, list and revoke the keys with which the services are asked."""

import getpass
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.keys import WORDS, Key, KeyStore

keys = typer.Typer(
    help="API keys: who may ask the services for what. A service needs them unless it listens on a loopback "
    "address (MLPLATFORM_KEYS=on: always).",
    no_args_is_help=True,
)
app.add_typer(keys, name="keys")

Name = Annotated[str, typer.Argument(help="Whose key it is.", metavar="NAME")]
Why = Annotated[str, typer.Option(help="The reason, for the audit.", metavar="SENTENCE")]


@keys.command()
def add(
    name: Name,
    scope: Annotated[
        list[str], typer.Option(help=f"What it is good for: {', '.join(WORDS)} (everything). Repeatable.")
    ],
    why: Why = "",
    json: Json = False,
) -> None:
    """Make a key and show it, this once: only its hash is stored."""
    with closing(_store()) as store:
        secret, key = store.add(name, scope, getpass.getuser(), utc_now(), why)
    if json:
        emit({**_told(key), "key": secret})
        return
    err.print(f"the key of {name} ({key.scopes.word}), shown this once:", markup=False)
    out.print(secret, markup=False)


@keys.command("list")
def list_(json: Json = False) -> None:
    """List the keys, revoked ones too; never the keys themselves."""
    with closing(_store()) as store:
        found = store.all()
    if json:
        emit({"keys": [_told(key) for key in found]})
    elif not found:
        err.print("no key yet: mlplatform keys add NAME --scope score", markup=False)
    else:
        table = Table("name", "scopes", "made", "by", "revoked", header_style="bold")
        for key in found:
            revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
            table.add_row(key.name, key.scopes.word, f"{key.made_at:%Y-%m-%d %H:%M}", key.made_by, revoked)
        out.print(table)


@keys.command()
def revoke(name: Name, why: Why = "", json: Json = False) -> None:
    """End a key: within about a second every service refuses it."""
    with closing(_store()) as store:
        key = store.revoke(name, utc_now(), by=getpass.getuser(), why=why)
    if json:
        emit(_told(key))
    else:
        out.print(f"the key of {name} is revoked.", markup=False)


def _store() -> KeyStore:
    return KeyStore(Settings.load().state_url)


def _told(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes.word.split(),
        "digest": key.digest,
        "made_at": key.made_at.isoformat(),
        "made_by": key.made_by,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
