"""A download: what the server holds arrives byte for byte, and nothing else counts as a delivery."""

import gzip
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlplatform.errors import ConfigurationError, SourceError
from mlplatform.sources import http
from mlplatform.sources._contract import WHOLE, Delivery
from mlplatform.sources._uri import delivery_at
from mlplatform_tests.sources.servers import Answer, Server, serving

CSV = b"id,placed\n1,2025-03-01\n"
GZIP = gzip.compress(CSV, mtime=0)
DAYS = ["2025-03-01", "2025-03-02", "2025-03-03"]
ELSEWHERE = {"Location": "/2025-03-01.csv"}


@pytest.fixture
def server() -> Iterator[Server]:
    answers = {
        "/2025-03-01.csv": Answer(CSV),
        "/2025-03-03.csv": Answer(b"id,placed\n"),
        "/all.csv.gz": Answer(GZIP),
        "/gone.csv": Answer(status=410),
        "/broken.csv": Answer(b"secret stack trace", 500),
        "/forbidden.csv": Answer(status=403),
        "/moved.csv": Answer(status=302, headers=ELSEWHERE),
        "/unchanged.csv": Answer(status=304),
        "/cut.csv": Answer(CSV, length=len(CSV) + 10),
        "/compressed.csv": Answer(GZIP, headers={"Content-Encoding": "gzip"}),
        "/miscompressed.csv": Answer(CSV, headers={"Content-Encoding": "gzip"}),
        "/unknown": Answer(CSV),
    }
    with serving(answers) as server:
        yield server


def fetched(url: str, **options: object) -> bytes | None:
    """What was delivered as a whole; None: nothing."""
    contents = []
    for delivery in http.open(Path(), url=url, **options).deliveries(None):  # type: ignore[arg-type]
        assert delivery.partition == WHOLE
        contents += [content_of(delivery)]
    (content,) = contents
    return content


def content_of(delivery: Delivery) -> bytes | None:
    if not delivery.parts:
        return None
    (part,) = delivery.parts
    assert isinstance(part.content, Path)
    return part.content.read_bytes()


def test_each_day_from_its_own_url_and_nothing_where_the_server_has_nothing(server: Server) -> None:
    source = http.open(Path(), url=f"{server.url}/{{partition}}.csv")
    found = [(delivery.partition, content_of(delivery)) for delivery in source.deliveries(DAYS)]
    assert found == [(DAYS[0], CSV), (DAYS[1], None), (DAYS[2], b"id,placed\n")]
    assert [path for path, _ in server.asked] == [f"/{day}.csv" for day in DAYS]
    assert fetched(f"{server.url}/gone.csv") is None


def test_gzip_is_kept_byte_for_byte(server: Server) -> None:
    deliveries = http.open(Path(), url=f"{server.url}/all.csv.gz").deliveries(None)
    (delivery,) = [(delivery.parts[0].gzipped, content_of(delivery)) for delivery in deliveries]
    assert delivery == (True, GZIP)
    assert server.asked[0][1]["accept-encoding"] == "identity"


def test_what_was_compressed_for_the_transfer_only_is_what_the_server_holds(server: Server) -> None:
    assert fetched(f"{server.url}/compressed.csv") == CSV
    with pytest.raises(SourceError, match="cannot be fetched"):
        fetched(f"{server.url}/miscompressed.csv")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("broken.csv", "answers 500"),
        ("forbidden.csv", "answers 403"),
        ("moved.csv", "answers 302"),
        ("unchanged.csv", "answers 304"),
        ("cut.csv", "cut.csv "),
    ],
)
def test_what_is_no_delivery(server: Server, path: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        fetched(f"{server.url}/{path}")
    assert caught.value.hint
    assert "stack trace" not in str(caught.value)
    assert [asked for asked, _ in server.asked] == [f"/{path}"]


def test_longer_than_allowed(server: Server) -> None:
    assert fetched(f"{server.url}/2025-03-01.csv", most_bytes=len(CSV)) == CSV
    with pytest.raises(SourceError, match=f"longer than {len(CSV) - 1} bytes") as caught:
        fetched(f"{server.url}/2025-03-01.csv", most_bytes=len(CSV) - 1)
    assert "most_bytes" in caught.value.hint


def test_a_server_that_is_down_and_one_that_says_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(SourceError, match="cannot be fetched"):
            fetched(f"http://127.0.0.1:{port}/a.csv")
        silent.listen()
        with pytest.raises(SourceError, match="cannot be fetched") as caught:
            fetched(f"http://127.0.0.1:{port}/a.csv", timeout=0.2)
        assert caught.value.hint


def test_headers_are_sent_and_formats_may_be_said(server: Server) -> None:
    assert fetched(f"{server.url}/unknown", format="csv", headers={"Authorization": "Bearer hush"}) == CSV
    assert server.asked[0][1]["authorization"] == "Bearer hush"


@pytest.mark.parametrize("path", ["2025-03-01.csv", "broken.csv", "cut.csv"])
def test_no_secret_is_shown(server: Server, path: str) -> None:
    url = server.url.replace("//", "//anna:hush@") + f"/{path}?token=hush"
    source = http.open(Path(), url=url, headers={"Authorization": "Bearer hush"})
    shown = [repr(source)]
    try:
        shown += [part.uri for delivery in source.deliveries(None) for part in delivery.parts]
    except SourceError as error:
        shown += [str(error), error.hint]
    assert "hush" not in " ".join(shown)
    assert f"{server.url}/{path}" in " ".join(shown)
    assert server.asked[0][0] == f"/{path}?token=hush"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.csv",
        "ftp://anna:hush@example.org/a.csv",
        "https:///a.csv?token=hush",
        "http://anna:hush@[::1/a.csv",
        "http://anna:hush@example.org:99999/a.csv",
        "http://anna:hush@example.org:port/a.csv",
        "http://example.org/a\x01.csv?token=hush",
        "file:///hush/a.csv",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: http:// or https:// with a host") as caught:
        http.open(Path(), url=url)
    assert "anna" not in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize("value", ["Bearer hush\n", "Bearer hüsh", "hush\r\nHost: x"])
def test_a_header_that_is_none(value: str) -> None:
    with pytest.raises(ConfigurationError, match="header 'Authorization'") as caught:
        http.open(Path(), url="https://example.org/a.csv", headers={"Authorization": value})
    assert "h" + value[value.index("h") + 1 :] not in str(caught.value)


def test_a_format_that_is_not_known() -> None:
    with pytest.raises(ConfigurationError, match="format of '/download' is not known"):
        http.open(Path(), url="https://example.org/download?token=hush")


def test_one_file_is_not_every_day_s(server: Server) -> None:
    source = http.open(Path(), url=f"{server.url}/2025-03-01.csv")
    with pytest.raises(ConfigurationError, match=r"asked for days; allowed: \{partition\}"):
        list(source.deliveries(DAYS))


def test_a_message_may_name_a_file_of_one_day(server: Server) -> None:
    found = [
        (d.partition, content_of(d)) for d in delivery_at(f"{server.url}/2025-03-01.csv", DAYS[1:2], Path())
    ]
    assert found == [(DAYS[1], CSV)]


def test_the_next_day_is_fetched_when_it_is_asked_for_and_the_files_go(server: Server) -> None:
    deliveries = http.open(Path(), url=f"{server.url}/{{partition}}.csv").deliveries(DAYS)
    assert server.asked == []
    first = next(deliveries)
    assert len(server.asked) == 1
    spool = first.parts[0].content
    assert isinstance(spool, Path)
    assert spool.exists()
    assert isinstance(deliveries, Iterator)
    with closing(deliveries):  # type: ignore[type-var]
        pass
    assert not spool.parent.exists()


def test_a_large_file_is_streamed() -> None:
    piece, times = b"1,2025-03-01\n" * (1 << 14), 320
    with serving({"/big.csv": Answer(piece, times=times)}) as server:
        tracemalloc.start()
        try:
            for delivery in http.open(Path(), url=f"{server.url}/big.csv").deliveries(None):
                content = delivery.parts[0].content
                assert isinstance(content, Path)
                assert content.stat().st_size == len(piece) * times > 64 << 20
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
