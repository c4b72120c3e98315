"""Listening sockets: one for a port, or several, among which the kernel divides the connections.

It must not know what is served, and imports nothing heavy: the parent of the workers lives with it.
"""

import errno
import socket

from mlplatform.errors import ServiceError

BACKLOG = 2048


def listen(host: str, port: int, setting: str = "MLPLATFORM_SCORING_PORT") -> socket.socket:
    """A listening socket; `setting` is the environment variable that chooses the port.

    Raises
    ------
    ServiceError
        if the port is taken, or the host is no address of this machine.
    """
    bound = _bound(host, port, setting, shared=False)
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _cannot_listen(host, port, setting, error) from error
    return bound


def bind_shared(host: str, port: int, setting: str = "MLPLATFORM_SCORING_PORT") -> socket.socket:
    """A socket bound to a port that others of this user bind as well; it gets connections once it listens.

    Raises
    ------
    ServiceError
        if a process that does not share has the port, or the host is no address of this machine.
    """
    return _bound(host, port, setting, shared=True)


def _bound(host: str, port: int, setting: str, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, setting, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _cannot_listen(host, port, setting, error) from error
    return bound


def _cannot_listen(host: str, port: int, setting: str, error: OSError) -> ServiceError:
    if error.errno == errno.EADDRINUSE:
        return ServiceError(
            f"port {port} on {host} is taken by another process.",
            hint=f"Set {setting} to a free port, or stop the other process.",
        )
    return ServiceError(
        f"cannot listen on {host}:{port}: {error.strerror or error}.",
        hint=f"Set MLPLATFORM_HOST to an address of this machine and {setting} to a free port.",
    )
