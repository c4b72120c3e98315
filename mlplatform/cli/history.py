"""`mlplatform history`: every change of champion, canary and shadow, and every version that was released."""

from contextlib import closing

from rich.markup import escape
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.in_use import change_of, deployment_of, release_of, sentence
from mlplatform.stages.deployment.alias import Change, Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.champions import ChampionStore


@app.command()
def history(use_case: UseCaseName, json: Json = False) -> None:
    """Tell what was in use when, by whom it was changed and why, the oldest first."""
    declared = project.load(use_case_folder(use_case))
    releases, changes, present = _read(declared.name, Settings.load())
    if json:
        emit(
            {
                "use_case": declared.name,
                "changes": [change_of(change) for change in changes],
                "releases": [release_of(release) for release in releases],
                "in_use": deployment_of(present) if present else None,
            }
        )
    elif present is None:
        err.print(f"nothing was released yet: mlplatform run {declared.name}", markup=False)
    else:
        out.print(_table(releases, changes))
        out.print(sentence(declared.name, present), markup=False)


def _read(
    use_case: str, settings: Settings
) -> tuple[tuple[Release, ...], tuple[Change, ...], Deployment | None]:
    if not settings.state_file_exists():
        return (), (), None
    with closing(ChampionStore(settings.state_url)) as store:
        return store.history(use_case), store.changes(use_case), store.deployment(use_case)


def _table(releases: tuple[Release, ...], changes: tuple[Change, ...]) -> Table:
    models = {release.version: f"{release.version} {release.model}" for release in releases}
    table = Table("no", "at (UTC)", "what", "version", "by", "why", header_style="bold")
    for change in changes:
        share = f" {change.share:.1%}" if change.share else ""
        table.add_row(
            str(change.number),
            f"{change.changed_at:%Y-%m-%d %H:%M:%S}",
            f"{change.action}{share}",
            models.get(change.version, "off"),
            escape(change.changed_by),
            escape(change.why),
        )
    return table
