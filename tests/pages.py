"""What the tests of web pages have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def wait_until(page: Page, expression: str, patience_ms: int) -> None:
    """Wait until something is true in a page; the driver's own way evaluates text, which the policy forbids."""
    for _ in range(patience_ms // 100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"never true: {expression}")
