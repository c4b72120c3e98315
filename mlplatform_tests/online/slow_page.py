"""Makes a page as `report_page` does, but without Evidently: slowly, and it notes each time it is run."""

import sys
import time
from pathlib import Path

SECONDS = 1.0

if __name__ == "__main__":
    snapshot, page = map(Path, sys.argv[1:])
    with (snapshot.parent / "made.txt").open("a") as notes:
        notes.write(f"{page.name}\n")
    time.sleep(SECONDS)
    page.write_text(f"<h1>{snapshot.read_text()}</h1>")
