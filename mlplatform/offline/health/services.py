"""What the services say of themselves over HTTP, and whether a broker listens. It must not start any."""

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from mlplatform.crosscutting.metrics.reading import Totals, totals
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.health.part import Part, State, several
from mlplatform.offline.summary import champion_of

SECONDS = 2.0
"""How long a service may take to answer."""
_START = "Start it with `mlplatform up`."


def broker(settings: Settings) -> Part:
    """Whether something listens at the broker's address."""
    place = urlsplit(settings.broker_url)
    address = f"{place.hostname}:{place.port or 4222}"
    try:
        socket.create_connection((place.hostname or "", place.port or 4222), timeout=SECONDS).close()
    except OSError:
        remedy = f"{_START} Messages that are due follow when it is back."
        return Part(name="broker", state="problem", said=f"nothing listens at {address}", remedy=remedy)
    return Part(name="broker", state="ok", said=f"listens at {address}", url=f"{place.scheme}://{address}")


def ui(settings: Settings) -> Part:
    """Whether the Dagster UI, and so its code server, answers."""
    if _get(settings, settings.ui_url, "/server_info") is None:
        said = f"nothing answers at {settings.ui_url}"
        return Part(name="Dagster UI", state="problem", said=said, remedy=_START)
    return Part(name="Dagster UI", state="ok", said=f"answers at {settings.ui_url}", url=settings.ui_url)


def scoring(settings: Settings) -> list[Part]:
    """The scoring service, its log of what was served, and how often a fallback answered."""
    ready = _get(settings, settings.scoring_url, "/health/ready")
    if ready is None:
        said = f"nothing answers at {settings.scoring_url}"
        return [Part(name="scoring", state="problem", said=said, remedy=_START)]
    return [_serving(settings, ready), *_counted(_get(settings, settings.scoring_url, "/metrics"))]


def ingestion(settings: Settings, *, meant: bool) -> Part:
    """The online ingestion service; `meant`: whether any use case has a stream."""
    return _ready("ingestion", settings, settings.ingestion_url, meant=meant)


def preparation(settings: Settings, *, meant: bool) -> Part:
    """The online preparation service; `meant`: whether any stream feeds features."""
    url = f"http://{settings.host}:{settings.preparation_port}"
    return _ready("preparation", settings, url, meant=meant)


def _ready(name: str, settings: Settings, url: str, *, meant: bool) -> Part:
    answer = _get(settings, url, "/health/ready")
    if answer is None:
        if not meant:
            return Part(name=name, state="off", said="no use case has a stream for it")
        return Part(name=name, state="problem", said=f"nothing answers at {url}", remedy=_START)
    said = _json(answer)
    troubles = tuple(f"{use_case}: {why}" for use_case, why in dict(said.get("trouble") or {}).items())
    if said.get("ready") is True:
        return Part(name=name, state="ok", said=f"answers at {url}", url=url, details=troubles)
    remedy = f"See {url}/v1/status, and the log {settings.home / 'logs' / name}.log."
    return Part(name=name, state="problem", said="does not go on", remedy=remedy, url=url, details=troubles)


def _serving(settings: Settings, answer: httpx.Response) -> Part:
    """What is served, and which champion is not; a use case without a champion is not ill."""
    said = _json(answer)
    serving, problems = dict(said.get("serving") or {}), dict(said.get("problems") or {})
    told = ", ".join(f"{name} version {number}" for name, number in serving.items())
    trouble = str(said.get("trouble") or "")
    wrong = [f"{name}: {why}" for name, why in problems.items() if champion_of(name, settings)]
    state: State = "ok" if serving and not (trouble or wrong) else "warning"
    return Part(
        name="scoring",
        state=state,
        said=f"serves {told}" if told else (trouble or "serves nothing yet"),
        remedy=f"See {settings.scoring_url}/v1/status." if state == "warning" else "",
        url=settings.scoring_url,
        details=(*([trouble] if trouble and told else []), *wrong),
    )


def _counted(answer: httpx.Response | None) -> list[Part]:
    if answer is None or answer.status_code != 200:
        remedy = "Set MLPLATFORM_KEY to a key of the service: its figures are not told without one."
        said = f"figures are not told: status {answer.status_code if answer else 'none'}"
        return [Part(name="answers", state="warning", said=said, remedy=remedy)]
    found = totals(answer.text)
    return [_served_log(found), _answers(found)]


def _served_log(found: Totals) -> Part:
    written, waiting, lost = (
        int(found.sum(f"mlplatform_score_log_{name}")) for name in ("written_total", "waiting", "lost_total")
    )
    return Part(
        name="log of answers",
        state="problem" if lost else "ok",
        said=f"{written:,} written, {waiting:,} waiting, {lost:,} lost since the service began",
        remedy="See `trouble` in the scoring service's /v1/status: why the lake did not take them."
        if lost
        else "",
        figures={"written": written, "waiting": waiting, "lost": lost},
    )


def _answers(found: Totals) -> Part:
    asked = found.sum("mlplatform_answer_seconds_count", without={"link": "shadow"})
    fallbacks, late = (
        found.sum("mlplatform_fallbacks_total"),
        found.sum("mlplatform_late_answers_total", without={"link": "shadow"}),
    )
    share = fallbacks / asked if asked else 0.0
    return Part(
        name="answers",
        state="warning" if fallbacks else "ok",
        said=f"{several(int(asked), 'question')}, {int(fallbacks):,} answered by a fallback ({share:.2%})",
        remedy="`mlplatform monitor USE_CASE` says why an earlier link did not answer." if fallbacks else "",
        figures={"questions": asked, "fallbacks": fallbacks, "fallback share": share, "late rows": late},
    )


def _get(settings: Settings, url: str, path: str) -> httpx.Response | None:
    """The answer, whatever its status below 500 or 503 is; None if there is none."""
    try:
        answer = httpx.get(
            f"{url}{path}", headers=settings.access.headers(), timeout=SECONDS, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return answer if answer.status_code < 500 or answer.status_code == 503 else None


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    """The object that was answered; empty if it is none, as from a service that is not ours."""
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
