"""Left-over files are removed once they are old; what is young or has its final name stays."""

import os
import time
from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.maintenance import maintain

DIGEST = "ab" * 32


def _file(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    moment = time.time() - days * 86_400
    os.utime(path, (moment, moment))
    os.utime(path.parent, (moment, moment))
    return path


@pytest.mark.parametrize("dry_run", [True, False])
def test_only_old_left_over_files_go(tmp_path: Path, dry_run: bool) -> None:
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home")})
    spool = tmp_path / "tmp"
    gone = [
        _file(settings.raw / ".incoming-old", 2),
        _file(settings.candidates / "flights" / f".{DIGEST}-01234567" / "model.txt", 2),
        _file(spool / "mlplatform-download-x" / "part", 2),
        _file(settings.reports / "flights" / "drift" / "2026-01.html", 2),
    ]
    stays = [
        _file(settings.raw / "ab" / DIGEST, 400),
        _file(settings.raw / ".incoming-young", 0),
        _file(settings.candidates / "flights" / DIGEST / "model.txt", 400),
        _file(settings.packages / "flights" / f".{DIGEST}-76543210" / "model.txt", 0),
        _file(settings.reports / "flights" / "drift" / "2026-01.snapshot.gz", 400),
        _file(settings.reports / "flights" / "drift" / "2026-02.html", 0),
        _file(settings.reports / "flights" / "drift" / "2026-02.snapshot.gz", 400),
        _file(settings.reports / "flights" / "evaluation.html", 400),
        _file(spool / "somebody-else" / "part", 400),
    ]
    done = maintain(settings, dry_run=dry_run, temporary=spool)
    assert len(done.removed) == 4
    assert done.bytes >= 20
    assert [path.exists() for path in gone] == [dry_run] * 4
    assert all(path.exists() for path in stays)
    assert maintain(settings, temporary=spool).removed == (done.removed if dry_run else [])
