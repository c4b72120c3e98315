"""Requests as spans of OpenTelemetry, with the extra `otel` and where OTEL_EXPORTER_OTLP_ENDPOINT is set.

Else nothing of it is imported, and an app stays as it is. The variables of OpenTelemetry choose the rest:
OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on. It must not change an answer, nor wait for a
collector.
"""

import logging
from importlib.util import find_spec
from typing import Any

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.settings import Settings
from mlplatform.online.metrics.requests import INFER, OTHER, route_of
from mlplatform.online.replies import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger(__name__)
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def traced(app: ASGIApp, settings: Settings, service: str) -> ASGIApp:
    """The app with a span for each request, if spans are wanted and can be sent."""
    if not settings.otlp_endpoint:
        return app
    if not all(map(_is_there, _NEEDED)):
        _LOG.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no spans are sent: install mlplatform[otel]")
        return app
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"mlplatform-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traced(app, provider)


class Traced:
    """An ASGI application whose requests are spans; `provider` is OpenTelemetry's."""

    def __init__(self, app: ASGIApp, provider: Any) -> None:
        from opentelemetry import trace

        self._app, self._provider, self._trace = app, provider, trace
        self._tracer = provider.get_tracer("mlplatform")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request inside a span, whose context is that of the work in hand."""
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            finally:
                if scope["type"] == "lifespan":
                    self._provider.shutdown()  # sends what waits
            return
        span = self._tracer.start_span(
            scope["method"][:20], context=self._parent(scope), kind=self._trace.SpanKind.SERVER
        )
        tracing.put(scope, _written(span.get_span_context()))

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= 500:
                    span.set_status(self._trace.StatusCode.ERROR)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            span.record_exception(error)
            raise
        finally:
            self._name(span, scope)
            span.end()

    def _parent(self, scope: Scope) -> Any:
        """The context of the caller's span; None where it sent none that is right."""
        text = tracing.given(scope)
        if text is None:
            return None
        _, trace_id, span_id, flags = text.split("-")[:4]
        parent = self._trace.SpanContext(
            int(trace_id, 16), int(span_id, 16), True, self._trace.TraceFlags(int(flags, 16))
        )
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent))

    @staticmethod
    def _name(span: Any, scope: Scope) -> None:
        route = route_of(scope)
        if route == OTHER and scope["path"].endswith("/infer"):
            route = INFER
        span.update_name(f"{scope['method'][:20]} {route}")
        told = {"http.request.method": scope["method"][:20], "http.route": route}
        if use_case := tracing.fields().get("use_case"):
            told["mlplatform.use_case"] = use_case
        span.set_attributes(told)


def _written(context: Any) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
