"""Files as a source: patterns, days, formats, and what a declaration may not say."""

import re
from pathlib import Path

import pytest

from mlplatform.errors import ConfigurationError, SourceError
from mlplatform.sources import files
from mlplatform.sources._contract import WHOLE, Delivery, Part
from mlplatform.sources._uri import delivery_at

DAYS = ["2025-03-02", "2025-03-01"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a-2.csv", "a-1.csv", "b-2025-03-01.csv.gz", "c.parquet", "d-1-2025-03-01.jsonl"):
        (tmp_path / name).write_text(f"content of {name}")
    (tmp_path / "a-3.csv").mkdir()
    (tmp_path / "d-2-2025-03-01.jsonl").write_text("more")
    return tmp_path


def names(delivery: Delivery) -> list[str]:
    return [Path(str(part.content)).name for part in delivery.parts]


def test_all_files_that_match_in_the_order_of_their_names(folder: Path) -> None:
    (delivery,) = files.open(folder, path="a-*.csv").deliveries(None)
    assert (delivery.partition, delivery.day, names(delivery)) == (WHOLE, "", ["a-1.csv", "a-2.csv"])
    first = delivery.parts[0]
    assert first == Part((folder / "a-1.csv").as_uri(), "csv", folder / "a-1.csv", gzipped=False)


def test_files_of_many_days_are_shared_by_the_days(folder: Path) -> None:
    found = list(files.open(folder, path="a-*.csv", day="placed").deliveries(DAYS))
    assert [(d.partition, d.day) for d in found] == [(day, "placed") for day in DAYS]
    assert found[0].parts is found[1].parts


def test_a_file_of_one_day_by_its_name(folder: Path) -> None:
    found = list(files.open(folder, path="b-{partition}.csv.gz").deliveries(DAYS))
    assert [(d.partition, names(d)) for d in found] == [(DAYS[0], []), (DAYS[1], ["b-2025-03-01.csv.gz"])]
    assert (found[1].parts[0].format, found[1].parts[0].gzipped) == ("csv", True)


def test_several_files_of_one_day(folder: Path) -> None:
    found = list(files.open(folder, path="d-*-{partition}.jsonl").deliveries(DAYS))
    assert [names(d) for d in found] == [[], ["d-1-2025-03-01.jsonl", "d-2-2025-03-01.jsonl"]]


def test_a_file_that_comes_later_is_found(folder: Path) -> None:
    source = files.open(folder, path="b-{partition}.csv.gz")
    (folder / "b-2025-03-02.csv.gz").touch()
    assert [names(d) for d in source.deliveries(DAYS[:1])] == [["b-2025-03-02.csv.gz"]]


@pytest.mark.parametrize(
    ("name", "said", "format", "gzipped"),
    [
        ("x.csv", "", "csv", False),
        ("x.csv.gz", "", "csv", True),
        ("x.jsonl", "", "jsonl", False),
        ("x.ndjson.gz", "", "jsonl", True),
        ("x.parquet", "", "parquet", False),
        ("x.txt", "csv", "csv", False),
        ("x.csv", "jsonl", "jsonl", False),
        ("x.gz", "csv", "csv", True),
    ],
)
def test_formats_by_name_or_as_said(tmp_path: Path, name: str, said: str, format: str, gzipped: bool) -> None:
    (tmp_path / name).touch()
    (delivery,) = files.open(tmp_path, path=name, format=said).deliveries(None)
    assert [(part.format, part.gzipped) for part in delivery.parts] == [(format, gzipped)]


@pytest.mark.parametrize(("path", "format"), [("x.txt", ""), ("x", ""), ("x.gz", ""), ("x.csv", "excel")])
def test_a_format_that_is_not_known(tmp_path: Path, path: str, format: str) -> None:
    with pytest.raises(ConfigurationError, match=r"format of .* is not known; allowed are \.csv, ") as caught:
        files.open(tmp_path, path=path, format=format)
    assert "options.format" in caught.value.hint


def test_no_file(folder: Path) -> None:
    for partitions in (None, DAYS):
        with pytest.raises(SourceError, match=r"no file matches 'e-\*\.csv'") as caught:
            list(files.open(folder, path="e-*.csv", day="placed").deliveries(partitions))
        assert caught.value.hint


@pytest.mark.parametrize("path", ["", "/data/*.csv", "../data.csv", "data/../../x.csv"])
def test_a_path_that_leads_elsewhere(folder: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match=f"got path {re.escape(repr(path))}; allowed: .*relative"):
        files.open(folder, path=path)


def test_days_are_told_by_the_path_or_by_a_column(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed: \{partition\} in the path, or options\.day"):
        list(files.open(folder, path="a-*.csv").deliveries(DAYS))
    with pytest.raises(ConfigurationError, match="allowed: one of them"):
        files.open(folder, path="b-{partition}.csv.gz", day="placed")


class TestUri:
    """A delivery at a place that a message names."""

    def test_a_file_by_path_or_uri(self, folder: Path) -> None:
        file = folder / "ä b.csv"
        file.touch()
        for uri in (str(file), file.as_uri()):
            (delivery,) = delivery_at(uri, DAYS[:1], folder)
            assert (delivery.partition, [part.content for part in delivery.parts]) == (DAYS[0], [file])
        (delivery,) = delivery_at(str(folder / "c.parquet"), None, folder)
        assert (delivery.partition, delivery.parts[0].format) == (WHOLE, "parquet")

    def test_it_is_one_delivery(self, folder: Path) -> None:
        with pytest.raises(ConfigurationError, match="one delivery, but 2 partitions"):
            list(delivery_at(str(folder / "a-1.csv"), DAYS, folder))

    def test_places_that_are_none(self, folder: Path) -> None:
        with pytest.raises(ConfigurationError, match="allowed: file:, http: or https:"):
            list(delivery_at("ftp://example.org/a.csv", None, folder))
        with pytest.raises(SourceError, match="there is no file"):
            list(delivery_at(str(folder / "z.csv"), None, folder))
