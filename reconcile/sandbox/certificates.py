"""
What TLS needs: a certificate for this machine, made at the start, and the authority that vouches for it.

Owns both for as long as a server runs. Neither is used again, and the private keys never leave the process
but for the moment in which OpenSSL reads one from a file.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["Certificate", "certified"]

_NAMES = ("127.0.0.1", "::1", "localhost")
_FOR_ALL_TO_READ = 0o644


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    What the server shows, and the file from which a client learns to believe it.
    """

    context: ssl.SSLContext
    ca_file: Path


@contextmanager
def certified(ca_file: Path | None) -> Iterator[Certificate]:
    """
    Make an authority and a certificate; without a place for the authority's own, it is gone after the block.

    Raises: OSError when the file cannot be written.
    """
    import trustme  # noqa: PLC0415 - loading it takes longer than anything else here, and few ask for TLS

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*_NAMES).configure_cert(context)
    with TemporaryDirectory(prefix="cometchat-sandbox-") as folder:
        path = (ca_file or Path(folder) / "ca.pem").absolute()
        path.write_bytes(authority.cert_pem.bytes())
        path.chmod(_FOR_ALL_TO_READ)
        yield Certificate(context, path)
