"""Who is at work, for histories and the audit."""

import getpass
import socket


def person() -> str:
    """The user of this process, as `user@host`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
