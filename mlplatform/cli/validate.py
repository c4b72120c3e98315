"""`mlplatform validate`: every mistake in a declaration, with its line, and how it will be served."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from mlplatform.cli.app import Json, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.served import in_words


@app.command()
def validate(
    use_case: Annotated[str, typer.Argument(help="Name or folder; every use case if left out.")] = "",
    json: Json = False,
) -> None:
    """Check the declaration of one use case, or of all, without running anything.

    Of one, or with --json, it also says how its models will be served.
    """
    here = Path.cwd()
    folders = [use_case_folder(use_case)] if use_case else list(project.use_cases(here).values())
    found = {str(folder): project.problems(folder) for folder in folders}
    sound = {folder: project.load(Path(folder)) for folder, problems in found.items() if not problems}
    bad = sum(len(problems) for problems in found.values())
    if json:
        emit(
            {
                "valid": bad == 0,
                "use_cases": [Path(folder).name for folder in found],
                "problems": [msgspec.to_builtins(p) for problems in found.values() for p in problems],
                "serving": {each.name: _serving(each) for each in sound.values()},
            }
        )
    else:
        for folder, problems in found.items():
            for problem in problems:
                err.print(str(problem), markup=False)
            if folder in sound:
                out.print(f"{Path(folder).name}: valid", markup=False)
                for subject, said in (_words(sound[folder]) if use_case else {}).items():
                    out.print(f"  {subject:<18}{said}", markup=False)
    if bad:
        raise typer.Exit(1)


def _words(declared: Declared) -> dict[str, str]:
    return in_words(declared.config.serving.policy, declared.feature_set.spine.key)


def _serving(declared: Declared) -> dict[str, Any]:
    """The policy's values, and the same in words."""
    told: dict[str, Any] = msgspec.to_builtins(declared.config.serving.policy)
    return told | {"in_words": _words(declared)}
