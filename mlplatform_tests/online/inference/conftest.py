"""A service to ask over ASGI, as any client would, without a socket."""

import asyncio
from collections.abc import Callable, Mapping

import httpx
import pytest

from mlplatform.online.http import application
from mlplatform_tests.online.world import USE_CASE, World

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def infer(ready: World) -> Ask:
    """Sends a body with headers to the infer route."""
    releases = ready.releases()
    releases.poll()
    app = application(releases, poll_seconds=0)

    def ask(body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post(f"/v2/models/{USE_CASE}/infer", content=body, headers=headers)

        return asyncio.run(send())

    return ask
