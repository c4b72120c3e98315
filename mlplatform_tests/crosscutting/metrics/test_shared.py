"""Several processes told of as one: nothing is lost with a process that ends, and no sum ever falls."""

from pathlib import Path

import pytest

from mlplatform.crosscutting.metrics import Family, Samples, SharedSamples
from mlplatform.crosscutting.metrics import shared as files

COUNT = Family("count_total", "counter", "Counts.")
SECONDS = Family("took_seconds", "histogram", "Times.", buckets=(1.0,))
WAITING = Family("waiting", "gauge", "Waits.")
FAMILIES = (COUNT, SECONDS, WAITING)


class Worker:
    """A process that counts."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self.shared = SharedSamples(path, FAMILIES, self.samples)
        self.shared.write()

    def samples(self) -> Samples:
        count = float(self.count)
        times = [count, 0.0, count / 4]
        return {"count_total": {(): count}, "took_seconds": {(): times}, "waiting": {(): 1.0}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files.begin(tmp_path / "metrics")
    return tmp_path / "metrics"


def workers(folder: Path, count: int) -> list[Worker]:
    return [Worker(folder / f"{number}.json") for number in range(count)]


def total(samples: Samples) -> float:
    value = samples["count_total"][()]
    assert not isinstance(value, list)
    return value


def test_whoever_is_asked_tells_of_all(folder: Path) -> None:
    one, other = workers(folder, 2)
    one.count, other.count = 3, 4
    assert total(one.shared.all()) == 3  # the other has not written since
    assert total(other.shared.all()) == 7
    told = one.shared.all()
    assert told == {
        "count_total": {(): 7.0},
        "took_seconds": {(): [7.0, 0.0, 1.75]},
        "waiting": {(): 2.0},
    }


def test_what_an_ended_process_counted_stays_but_not_what_it_held(folder: Path) -> None:
    one, other = workers(folder, 2)
    one.count, other.count = 3, 4
    other.shared.write()
    files.bury(other.path, FAMILIES)
    assert not other.path.exists()
    assert one.shared.all() == {
        "count_total": {(): 7.0},
        "took_seconds": {(): [7.0, 0.0, 1.75]},
        "waiting": {(): 1.0},
    }
    files.bury(other.path, FAMILIES)  # again: there is nothing left of it
    assert total(one.shared.all()) == 7


def test_no_sum_falls_though_processes_are_killed(folder: Path) -> None:
    living, number, told = workers(folder, 3), 3, [0.0]
    for step in range(60):
        for worker in living:
            worker.count += 1 + step % 3
        told.append(total(living[step % 3].shared.all()))
        if step % 4 == 0:  # killed: what it counted since it wrote last is lost with it, untold
            killed = living.pop(step % 3)
            killed.count += 1000
            told.append(total(living[0].shared.all()))  # its file is there, its parent has not seen it yet
            files.bury(killed.path, FAMILIES)
            told.append(total(living[1].shared.all()))
            living.append(Worker(folder / f"{number}.json"))
            number += 1
    assert told == sorted(told)
    assert 60 < told[-1] < 1000


def test_a_file_that_is_buried_while_it_is_read_counts_once(folder: Path) -> None:
    one, other = workers(folder, 2)
    one.count, other.count = 3, 4
    other.shared.write()
    kept = other.path.read_bytes()
    files.bury(other.path, FAMILIES)
    other.path.write_bytes(kept)  # as who listed it before and reads it now still sees it
    assert total(one.shared.all()) == 7


def test_a_service_begins_at_zero_and_bears_damage(folder: Path) -> None:
    (one,) = workers(folder, 1)
    one.count = 3
    one.shared.write()
    files.begin(folder)
    fresh = Worker(folder / "1.json")
    fresh.count = 2
    (folder / "2.json").write_bytes(b'[["count_total", [], ')
    assert total(fresh.shared.all()) == 2


def test_a_disk_that_refuses_does_not_hide_what_this_process_knows(tmp_path: Path) -> None:
    lonely = Worker(tmp_path / "no such folder" / "1.json")
    lonely.count = 5
    assert total(lonely.shared.all()) == 5


def test_the_file_follows_by_itself_and_is_written_at_the_end(folder: Path) -> None:
    (one,) = workers(folder, 1)
    one.shared.start()
    one.count = 9
    one.shared.stop()
    (reader,) = [Worker(folder / "reader.json")]
    assert total(reader.shared.all()) == 9
