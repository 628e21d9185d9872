"""Proxies in front: whose word counts about who the client is, and which address it called.

Only a peer that the setting `trusted_proxies` names may say so, in X-Forwarded-For, -Proto and -Host. What anybody
else says in them is ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """WSGI middleware; `apply` is for those who look into an environment before the application does."""

    def __init__(self, app: Any, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._trusted = trusted
        # The client's address is found here: ProxyFix can only count hops, and believes everybody.
        self._fix = ProxyFix(lambda environ, start: (), x_for=0, x_proto=1, x_host=1)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Called by the server."""
        self.apply(environ)
        return self._app(environ, start_response)

    def apply(self, environ: dict[str, Any]) -> None:
        """Put the client's address, scheme and host into the environment, if the peer may tell them."""
        peer = environ.get("REMOTE_ADDR", "")
        if not self._trusted or not self._trusts(peer):
            return
        environ["REMOTE_ADDR"] = self._client(peer, environ.get("HTTP_X_FORWARDED_FOR", "").split(","))
        self._fix(environ, lambda status, headers, exc_info=None: lambda data: None)

    def _client(self, peer: str, told: Iterable[str]) -> str:
        """The address nearest to us that is not a trusted proxy's: each proxy adds the peer that it saw at the end."""
        client = peer
        for address in reversed([each.strip() for each in told]):
            if not self._trusts(client) or _parsed(address) is None:
                break
            client = address
        return client

    def _trusts(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
