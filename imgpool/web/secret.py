"""The key that signs cookies: kept in the data directory, or the same on all hosts without a place to keep it."""

from __future__ import annotations

import hashlib
import logging
import secrets
from pathlib import Path

from imgpool.service.durable import made_once

log = logging.getLogger(__name__)

KEY_DIGITS = 64


def shared_secret_key(token: str, files: str) -> str:
    """The key that signs cookies for all hosts that have this token and these files: the same on each, without a place
    to keep it. Slow on purpose, takes some 50 ms: who has a cookie shall not find out the token by trying.
    """
    salt = f"imgpool {files}".encode()
    return hashlib.scrypt(token.encode(), salt=salt, n=2**14, r=8, p=1, dklen=KEY_DIGITS // 2).hex()


def secret_key(data_dir: Path) -> str:
    """The key that signs cookies: made once, kept 0600 in the data directory, never logged. Raises OSError.

    One that is not whole, or that others could read, is replaced: whatever it signed is worth nothing then.
    """
    data_dir.mkdir(0o700, parents=True, exist_ok=True)
    path = data_dir / "secret-key"
    if path.exists() and (len(path.read_text("latin-1")) != KEY_DIGITS or path.stat().st_mode & 0o077):
        log.warning("'%s' is not whole, or others could read it: a new one signs everybody out", path)
        path.unlink()
    return made_once(path, secrets.token_hex(KEY_DIGITS // 2))
