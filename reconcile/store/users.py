"""
Files of users: sorted hashes of their uids, 8 bytes each, behind a digest that proves them.

One stands beside the state file: the users that are ours. One may stand beside a plan: the users of its export, which
become ours when it is applied. Both are keyed with the secret of the state file, and another state cannot read them.
"""

from hashlib import blake2b
from pathlib import Path

import numpy as np

from reconcile.core.hashes import U64, Hashes
from reconcile.core.scope import without
from reconcile.errors import StateError
from reconcile.store.artifacts import replacing

__all__ = ["USERS", "drop_user", "read_users", "write_users"]

USERS = "users.hashes"
_DIGEST = 16  # bytes, in front of the hashes


def read_users(path: Path, salt: str) -> Hashes | None:
    """Read such a file; None where there is none. Raises: StateError where it is damaged or of another state."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(
            f"the users in {path} cannot be read: {error.strerror}", hint="see that this user may read that file"
        ) from error
    body = content[_DIGEST:]
    if content[:_DIGEST] != _digest(body, salt) or len(body) % U64.itemsize:
        raise StateError(
            f"{path} is damaged, or belongs to another state file",
            hint=f"put back a copy of it; or remove it, and the next apply begins a new one: rm {path}",
        )
    return np.frombuffer(body, U64)


def write_users(path: Path, hashes: Hashes, salt: str) -> None:
    """Write such a file whole, for its owner alone. Raises: StateError."""
    body = hashes.astype(U64).tobytes()
    with replacing(path) as file:
        file.write(_digest(body, salt))
        file.write(body)


def drop_user(path: Path, uid: str, salt: str) -> None:
    """Take one user out of such a file; one that cannot be read is removed, as nobody knows whom it has. Raises: StateError."""
    for aside in path.parent.glob(f".{path.name}.*"):
        aside.unlink()  # what a run that was killed was writing
    try:
        hashes = read_users(path, salt)
    except StateError:
        path.unlink(missing_ok=True)
        return
    if hashes is not None:
        write_users(path, without(hashes, [uid], salt), salt)


def _digest(body: bytes, salt: str) -> bytes:
    return blake2b(body, key=salt.encode(), digest_size=_DIGEST).digest()
