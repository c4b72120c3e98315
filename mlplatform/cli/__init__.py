"""The one command line, `mlplatform`: a file per command, `main` around them.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the work failed,
2 wrong use.
"""

from mlplatform.cli.app import main

__all__ = ["main"]
