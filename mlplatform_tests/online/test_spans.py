"""Spans of OpenTelemetry: a real exporter to a real collector, and nothing of it where it is not wanted."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.settings import Settings
from mlplatform.online import spans
from mlplatform.online.replies import send_json
from mlplatform_tests.online.delivery.receiver import Receiver

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{running.url}/ok")
        yield running


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the traceparent of the work in hand; /fails does not."""
    if scope["type"] == "lifespan":
        return
    tracing.begin(scope)
    if scope["path"] == "/fails":
        raise ValueError("a reason")
    await send_json(send, 503 if scope["path"] == "/away" else 200, (tracing.known() or "").encode())


def test_where_it_is_not_wanted_the_app_is_as_it_was() -> None:
    assert spans.traced(app, Settings.load({}), "scoring") is app
    code = (
        "import sys; from mlplatform.online import server, spans;"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_without_the_packages_it_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spans, "_NEEDED", ("opentelemetry.sdk", "no.such.package"))
    settings = Settings.load({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert spans.traced(app, settings, "scoring") is app
    assert "install mlplatform[otel]" in caplog.text


def test_requests_are_spans_within_their_callers(collector: Receiver) -> None:
    pytest.importorskip("opentelemetry.sdk.trace", reason="skipped: no OpenTelemetry")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="skipped: no OpenTelemetry")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    traced = spans.traced(app, Settings.load({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}), "scoring")

    async def requests() -> list[str]:
        transport = httpx.ASGITransport(app=traced)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            told = []
            for path, trace in [("/score/returns", GIVEN), ("/away", "nonsense")]:
                told.append((await client.post(path, headers={"traceparent": trace})).text)
            with pytest.raises(ValueError, match="a reason"):
                await client.get("/fails")
        await traced({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  (sends what waits)
        return told

    kept, fresh = asyncio.run(requests())
    assert kept[3:35] == TRACE
    assert kept[36:52] != PARENT
    assert tracing.is_valid(fresh)
    found = ExportTraceServiceRequest()
    found.ParseFromString(_unpacked(collector.got.get(timeout=20)))
    (resource,) = found.resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "mlplatform-scoring"
    scored, away, failed = resource.scope_spans[0].spans
    assert (scored.name, scored.trace_id.hex(), scored.parent_span_id.hex()) == (
        "POST /score/{use_case}",
        TRACE,
        PARENT,
    )
    assert scored.span_id.hex() == kept[36:52]
    told = {each.key: each.value for each in scored.attributes}
    assert told["http.response.status_code"].int_value == 200
    assert told["mlplatform.use_case"].string_value == "returns"
    assert (away.parent_span_id, away.status.code) == (b"", 2)
    assert away.trace_id.hex() == fresh[3:35]
    assert [event.name for event in failed.events] == ["exception"]


def _unpacked(got: Any) -> bytes:
    import gzip

    named = {name.lower(): value for name, value in got.headers.items()}
    return gzip.decompress(got.body) if named.get("content-encoding") == "gzip" else got.body
