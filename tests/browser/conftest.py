"""Fixtures: the product, started once for all tests, and browser windows."""

import os
from collections.abc import Callable, Iterator
from shutil import which
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.panel import VIOLATIONS, Panel
from tests.browser.product import Product, served
from tests.conftest import missing

OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync")  # fmt: skip
TIMEOUT_MILLISECONDS = 15_000

Visit = Callable[..., Panel]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.getreports("passed")
    if lines := [line for report in reports for name, line in report.user_properties if name == "seconds"]:
        terminalreporter.section("response times")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("product")) as product:
        yield product


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = which(os.environ.get("CHROMIUM", "chromium"))
    if program is None:
        missing("chromium (apt install chromium, or name it with CHROMIUM=/path/to/chromium)")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, product: Product) -> Iterator[Visit]:
    """Opens a window: visit(locale="es-ES", java_script_enabled=False). Fails if its console shows an error."""
    panels: list[Panel] = []

    def open_window(**options: Any) -> Panel:
        context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 900}} | options)
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        context.add_init_script(VIOLATIONS)
        panels.append(Panel(context.new_page(), product))
        return panels[-1]

    yield open_window
    for panel in panels:
        panel.page.context.close()
    assert [error for panel in panels for error in panel.errors] == []


@pytest.fixture
def panel(visit: Visit) -> Panel:
    """Returns a window in which the administrator is signed in."""
    panel = visit()
    panel.log_in()
    return panel
