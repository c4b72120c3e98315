"""Bodies that came compressed, as HTTP's Content-Encoding says, unpacked up to a cap.

It must not know what is in them.
"""

import zlib

from mlplatform.errors import RequestError
from mlplatform.online.replies import shown

_FORMATS = {b"gzip": 31, b"deflate": 15}
"""Window bits by which zlib knows the format; HTTP's deflate is the zlib format."""


def unpacked(body: bytes, encoding: bytes, cap: int) -> bytes:
    """A body as it was before it was compressed.

    Raises
    ------
    RequestError
        415 for an encoding we do not know, 413 for more than `cap` bytes, 400 for a damaged body.
    """
    encoding = encoding.strip().lower()
    if encoding == b"identity":
        return body
    if encoding not in _FORMATS:
        raise RequestError(
            f"got Content-Encoding {shown(encoding.decode('latin-1'))}; allowed: gzip, deflate.", status=415
        )
    stream = zlib.decompressobj(_FORMATS[encoding])
    try:
        content = stream.decompress(body, cap + 1)
    except zlib.error as error:
        raise RequestError(f"the body is no {encoding.decode()}.") from error
    if len(content) > cap:
        raise RequestError(
            f"the unpacked body is longer than {cap // 1024} KiB.",
            status=413,
            hint="Send fewer rows in one request.",
        )
    if not stream.eof or stream.unused_data:
        raise RequestError(f"the body does not end where its {encoding.decode()} does.")
    return content
