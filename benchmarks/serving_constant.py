"""Two servers that only answer a constant, served as the platform's services are: the ground to compare with.

    python -m benchmarks.serving_constant asgi|fastapi PORT

`asgi` is one ASGI function, `fastapi` an async FastAPI route that returns a dict.
"""

import sys

import uvicorn
from fastapi import FastAPI

from mlplatform.online.replies import ASGIApp, Receive, Scope, Send

_BODY = b'{"score":0.5}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def constant(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with the same bytes."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})


def fastapi() -> FastAPI:
    """An app with one route that returns a constant."""
    app = FastAPI()

    @app.post("/score/{use_case}")
    async def score(use_case: str) -> dict[str, float]:
        return {"score": 0.5}

    return app


def main() -> None:
    """Serve one of the two until SIGTERM."""
    apps: dict[str, ASGIApp] = {"asgi": constant, "fastapi": fastapi()}
    uvicorn.run(
        apps[sys.argv[1]],
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
