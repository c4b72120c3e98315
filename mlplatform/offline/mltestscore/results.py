"""What a look-up found of one test, and the ways of finding it that several tests share.

It must not know which test it is for.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from mlplatform.offline.mltestscore.home import Checked, Figures, Home
from mlplatform.stages.monitoring.rubric import Outcome
from mlplatform.stores.proofs import Proof

REPEATED = 2
"""Days with a fresh result that make a check started by command one that runs on a repeated basis."""
NOBODY_WON = "no winner: nothing is released"
"""What checks of `package` say where there was nothing to check."""


class Found(NamedTuple):
    """Outcome, name of the check (empty: there is none), figure or reason, time, and what to do."""

    outcome: Outcome
    check: str
    said: str
    at: datetime | None = None
    remedy: str = ""


def absent(check: str, remedy: str, said: str = "") -> Found:
    """There is no result."""
    return Found("absent", check, said or "nothing was checked yet", None, remedy)


def broken(check: str, said: str, remedy: str, at: datetime | None = None) -> Found:
    """It does not hold."""
    return Found("broken", check, said, at, remedy)


def says(checked: Figures) -> bool:
    """Whether a check of `package` had something to check."""
    return bool(checked.get("found") != NOBODY_WON)


def of_checks(
    home: Home,
    wanted: Sequence[tuple[str, str]],
    said: Callable[[Sequence[Checked]], str],
    remedy: str,
    *,
    that: Callable[[Figures], bool] = lambda figures: True,
) -> Found:
    """All of the asset checks (asset, check) hold by their newest results; `that` passes over empty ones."""
    names = named(wanted)
    found = [home.check(asset, name, that) for asset, name in wanted]
    results = [each for each in found if each is not None]
    if len(results) < len(wanted):
        lacking = named([each for each, result in zip(wanted, found, strict=True) if result is None])
        return absent(names, f"mlplatform run {home.declared.name}", f"no result yet of {lacking}")
    failed = [each for each in results if not each.passed]
    if failed:
        return broken(names, "; ".join(map(told, failed)), remedy, max(each.at for each in failed))
    return Found("held", names, said(results), min(each.at for each in results))


def named(wanted: Sequence[tuple[str, str]]) -> str:
    """The names of checks, those of one asset together."""
    by_asset: dict[str, list[str]] = {}
    for asset, name in wanted:
        by_asset.setdefault(asset, []).append(name)
    checks: dict[tuple[str, ...], list[str]] = {}
    for asset, names in by_asset.items():
        checks.setdefault(tuple(names), []).append(asset)
    return "; ".join(f"{', '.join(assets)}: {', '.join(names)}" for names, assets in checks.items())


def told(checked: Checked) -> str:
    """A failed check as half a sentence, its plain figures with it."""
    figures = [f"{name} {value}" for name, value in checked.figures.items() if _plain(value)]
    return f"{checked.title} failed ({', '.join(figures) or 'see the Dagster UI'})"


def _plain(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 200)


def by_command(
    home: Home,
    name: str,
    check: str,
    remedy: str,
    said: Callable[[Proof], str],
    *,
    that: Callable[[Proof], bool] = lambda proof: True,
) -> Found:
    """The newest proof of this name holds; on several days it is automatic, on one it was done by hand."""
    proofs = [proof for proof in home.proofs if proof.name == name]
    ours = [proof for proof in proofs if that(proof)]
    if not ours:
        other = "the results there are belong to another model or feature set" if proofs else ""
        return absent(check, remedy, other)
    newest = ours[-1]
    if not newest.passed:
        return broken(check, said(newest), remedy, newest.at)
    days = {proof.at.date() for proof in ours if proof.passed and home.fresh(proof.at)}
    if len(days) >= REPEATED:
        return Found("held", check, f"{said(newest)}; tried on {len(days)} days", newest.at)
    again = (
        f"Let a scheduler run `{remedy}`: results of {REPEATED} days within "
        f"{home.settings.proof_days} days make it a full point."
    )
    return Found("documented", check, f"{said(newest)}; tried on one day", newest.at, again)
