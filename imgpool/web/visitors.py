"""Who asks, and what they may. There are two rights, and three ways to have them.

| who | may upload | sees and deletes | may steer: pool, metrics, everything |
|---|---|---|---|
| anybody, on a server without a token | yes | all images | yes |
| holder of the token | yes | all images | yes |
| holder of the upload token | yes | a program what was uploaded with it, a browser its own | no |
| anonymous, where the server allows it | yes | those of its own browser session | no |
| stranger | no | nothing | no |

A program shows a token as bearer, with each request; a browser signs in with it once and gets a signed cookie. The
cookie holds no token but a mark of it, so a changed token signs out who used it, and nobody else.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from flask import g
from werkzeug.wrappers import Request

from imgpool.config import Settings
from imgpool.service import ImageRecord
from imgpool.service.resumable import Unfinished

log = logging.getLogger(__name__)

SIGNED_IN, OWNER = "signed_in", "owner"  # keys of the cookie
UPLOAD_TOKEN_OWNER = "upload-token"  # noqa: S105 - no secret: whose images they are that programs upload with it


@dataclass(frozen=True, slots=True)
class Visitor:
    """One request's rights. `owner` is whose images its uploads become: nobody's in particular with the right to steer.
    `is_program` is whether it showed its token as bearer.
    """

    may_upload: bool
    may_steer: bool
    owner: str | None = None
    signed_in: bool = False
    is_program: bool = False

    @property
    def sees_only(self) -> str | None:
        """Whose images there are for this visitor; None: everybody's."""
        return None if self.may_steer else self.owner if self.may_upload else ""

    def may_see(self, image: ImageRecord | Unfinished) -> bool:
        """Whether this image, or upload, is there for the visitor, to look at and to delete."""
        return self.sees_only is None or image.owner == self.sees_only


STRANGER = Visitor(may_upload=False, may_steer=False)


def visitor() -> Visitor:
    """Who sent the request that is being answered. A stranger until that was found out."""
    return cast(Visitor, g.get("visitor", STRANGER))


class Visitors:
    """Tells visitors apart by the secrets of the settings; `key` signs the marks. For any thread."""

    def __init__(self, settings: Settings, key: str) -> None:
        self._token, self._upload_token = settings.token, settings.upload_token
        self._anonymous_uploads = settings.anonymous_uploads
        self._key = key.encode()
        self.guesses = Guesses()

    def of(self, asked: Request, session: MutableMapping[str, Any]) -> Visitor:
        """Who sent a request. Reads its headers alone. A bearer token that is wrong makes a stranger, whatever else
        the request shows: a program with a typing error must not become an anonymous uploader.
        """
        if self._token is None:
            return Visitor(may_upload=True, may_steer=True)
        kind, _, given = asked.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            steers, uploads = self._rights_of(given.strip())
            return Visitor(uploads, steers, None if steers else UPLOAD_TOKEN_OWNER, is_program=True)
        steers, uploads = self._rights_of_mark(session.get(SIGNED_IN))
        owner = None if steers else str(session.get(OWNER) or secrets.token_hex(16))
        return Visitor(uploads or self._anonymous_uploads, steers, owner, signed_in=uploads)

    def sign_in(self, given: str, address: str | None, session: MutableMapping[str, Any]) -> bool:
        """Remember in the session what this token opens; False when it opens nothing."""
        if not any(self._rights_of(given)):
            self.guesses.tell(address)
            return False
        session.clear()
        session[SIGNED_IN] = self._mark(given)
        return True

    def _rights_of(self, given: str) -> tuple[bool, bool]:
        """May steer, may upload. Compared in constant time: how much of a guess is right cannot be measured."""
        steers = _same(given, self._token)
        return steers, _same(given, self._upload_token) or steers

    def _rights_of_mark(self, mark: object) -> tuple[bool, bool]:
        steers = _same(mark, self._token and self._mark(self._token))
        return steers, _same(mark, self._upload_token and self._mark(self._upload_token)) or steers

    def _mark(self, token: str) -> str:
        return hmac.new(self._key, token.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


class Guesses:
    """Tells the log of wrong tokens: of the first at once, of more once in `PAUSE_S`, or guesses would fill the disk.
    Any thread.
    """

    PAUSE_S = 60.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._told_at, self._untold = -math.inf, 0

    def tell(self, address: str | None) -> None:
        """Count a wrong token that came from this address."""
        with self._lock:
            self._untold += 1
            if self._clock() - self._told_at < self.PAUSE_S:
                return
            wrong, self._untold, self._told_at = self._untold, 0, self._clock()
        log.warning("wrong tokens: %d, the last from %s", wrong, address)


def _same(given: object, secret: str | None) -> bool:
    if secret is None or not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
