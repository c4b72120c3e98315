"""A server that tells its application before it waits for connections to end.

A stream of events ends only when the application ends it, and the lifespan hears of the shutdown too late,
after the server has waited for all connections. It must not know what is told: the lifespan yields a function
under the name `BEFORE_SHUTDOWN`.
"""

import socket

import uvicorn

BEFORE_SHUTDOWN = "before_shutdown"


class GracefulServer(uvicorn.Server):
    """uvicorn's server; what the lifespan yielded is called when it is to end, on its event loop."""

    def end_streams(self) -> None:
        """Have the application end what would never end by itself; calling it again is harmless."""
        told = self.lifespan.state.get(BEFORE_SHUTDOWN)
        if callable(told):
            told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything, as uvicorn does."""
        self.end_streams()
        await super().shutdown(sockets)
