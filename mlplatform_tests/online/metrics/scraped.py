"""Metrics as a test reads them out of the text, with no code of the platform."""

import asyncio
import re
from typing import Any

import httpx

from mlplatform.online.replies import ASGIApp

_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

Labels = frozenset[tuple[str, str]]


class Scraped:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, Labels], float] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                found = _SAMPLE.fullmatch(line)
                assert found, line
                key = found[1], frozenset(_LABEL.findall(found[2] or ""))
                assert key not in self.samples, f"told twice: {line}"
                self.samples[key] = float(found[3])

    def __call__(self, name: str, **labels: str) -> float:
        """The sample of a name and exactly these labels."""
        return self.samples[name, frozenset(labels.items())]

    def all(self, name: str) -> dict[Labels, float]:
        """Every sample of a name."""
        return {labels: value for (one, labels), value in self.samples.items() if one == name}


def ask(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to an app."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def scrape(app: ASGIApp, **more: Any) -> Scraped:
    """The metrics of an app."""
    answer = ask(app, "GET", "/metrics", **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scraped(answer.text)
