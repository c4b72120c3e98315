"""HTTP/1.1 as uvicorn speaks it, with an end to what a caller may send before there is a request.

uvicorn reads a header of any length, and waits for the rest of a request as long as the connection lives.
It must not know what is asked.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlplatform.online.replies import encode

LONGEST_HEAD = 65_536
"""Bytes of request line and header together, while they are incomplete."""
PATIENCE = 40.0
"""Seconds that a whole request may take to come; a little more than the ingestion gives a body."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. What a complete request costs here is two comparisons."""

    patience = PATIENCE
    _head = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, but not for ever."""
        super().connection_made(transport)
        self._late = self.loop.call_later(self.patience, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._be_patient()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; note whether a request is whole now."""
        super().data_received(data)
        if self.scope is None or "method" not in self.scope:
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self._refuse(431, "the header is too long")
            self._hurry()
        elif self.cycle is not None and self.cycle.more_body:
            self._head = 0
            self._hurry()
        elif self._late is not None or self._head:
            self._head = 0
            self._be_patient()

    def send_400_response(self, msg: str) -> None:
        """Say in our form that this is no HTTP."""
        self._refuse(400, "the request is not HTTP/1.1")

    def _hurry(self) -> None:
        if self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(self.patience, self._too_slow)

    def _be_patient(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_slow(self) -> None:
        self._late = None
        nothing = self.scope is None
        if nothing or (self.cycle is not None and self.cycle.response_started):
            self.transport.close()
        else:
            self._refuse(408, f"the request did not come within {self.patience:g} s")

    def _refuse(self, status: int, text: str) -> None:
        if self.transport.is_closing():
            return
        body = encode({"error": text})
        head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()
