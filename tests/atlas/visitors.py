"""People who look at the atlas in a browser, for tests; pictures go to ``DEEPCUBE_SCREENSHOTS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import Served
from pages import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}
PATIENCE_MS = 60_000


@dataclass
class Visitor:
    """A browser window of one person."""

    page: Page
    served: Served
    problems: list[str]
    screenshots: Path | None

    def go(self, hash: str = "") -> Page:
        """Open the atlas and wait until a layer is drawn."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.served.url}/{hash}")
        self.until("window.atlas && window.atlas.measured.ready !== null")
        return self.page

    def until(self, expression: str) -> None:
        """Wait until something is true in the page."""
        wait_until(self.page, expression, PATIENCE_MS)

    def pixel(self, x: float, y: float) -> list[int]:
        """Return the colour that the map shows at a share of its width and height."""
        return self.page.evaluate(
            "([x, y]) => { const c = window.atlas.map.canvas();"
            "const at = [Math.round(x * c.width), Math.round(y * c.height)];"
            "return [...c.getContext('2d').getImageData(...at, 1, 1).data]; }",
            [x, y],
        )

    def click(self, x: float = 0.5, y: float = 0.5) -> None:
        """Click the map at a share of its width and height."""
        box = self.page.locator("#map").bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def shot(self, name: str) -> None:
        """Keep a picture of the page."""
        if self.screenshots is not None:
            self.page.screenshot(path=self.screenshots / f"atlas-{name}.png")


@contextmanager
def visitors(browser: Browser, served: Served, screenshots: Path | None) -> Iterator[Callable[..., Visitor]]:
    """Give a function that opens a window; at the end nothing from data has run, and no policy was broken."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def open_window(*, phone: bool = False, dark: bool = False, signed_in: bool = True, **options: Any) -> Visitor:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP, has_touch=phone, color_scheme="dark" if dark else "light", **options
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if "Security Policy" in message.text else None)
        if signed_in:
            page.goto(served.entrance())
        visitor = Visitor(page, served, problems, screenshots)
        opened.append((context, visitor))
        return visitor

    yield open_window
    for context, visitor in opened:
        assert visitor.page.evaluate("window.hacked") is None
        assert visitor.problems == []
        context.close()
