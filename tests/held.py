"""What a page asks for, and gets only when the test lets it go."""

from __future__ import annotations

import re

from playwright.sync_api import Page, Route

from serving import wait_for


class Held:
    """`held = Held(page, "**/reader.js")` holds all such requests back, or only those of one method."""

    def __init__(self, page: Page, address: str | re.Pattern[str], method: str | None = None) -> None:
        self._page, self._address, self._method = page, address, method
        self._routes: list[Route] = []
        self._open = False
        page.route(address, self._hold)

    def _hold(self, route: Route) -> None:
        if self._open or self._method not in (None, route.request.method):
            route.continue_()
        else:
            self._routes.append(route)

    def wait(self, number: int = 1) -> None:
        """Until so many are held: that something can be seen on the page does not say that they have been asked for."""

        def held() -> bool:
            self._page.wait_for_timeout(1)  # Playwright tells of requests only within a call of its own
            return len(self._routes) >= number

        wait_for(held, f"{number} requests to be held")

    def let_go(self, lost: bool = False) -> None:
        """Those that are held go on, or get lost; those that come later pass."""
        self._open = True
        for route in self._routes:
            if lost:
                route.abort()
            else:
                route.continue_()
        self._page.unroute(self._address, self._hold)
