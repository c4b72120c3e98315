"""`mlplatform validate`: every mistake in a declaration, with its line."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mlplatform.cli.app import Json, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.offline import project


@app.command()
def validate(
    use_case: Annotated[str, typer.Argument(help="Name or folder; every use case if left out.")] = "",
    json: Json = False,
) -> None:
    """Check the declaration of one use case, or of all, without running anything."""
    here = Path.cwd()
    folders = [use_case_folder(use_case)] if use_case else list(project.use_cases(here).values())
    found = {str(folder): project.problems(folder) for folder in folders}
    bad = sum(len(problems) for problems in found.values())
    if json:
        emit(
            {
                "valid": bad == 0,
                "use_cases": [Path(folder).name for folder in found],
                "problems": [msgspec.to_builtins(p) for problems in found.values() for p in problems],
            }
        )
    else:
        for folder, problems in found.items():
            for problem in problems:
                err.print(str(problem), markup=False)
            if not problems:
                out.print(f"{Path(folder).name}: valid", markup=False)
    if bad:
        raise typer.Exit(1)
