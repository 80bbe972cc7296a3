"""Takes the screenshots in docs/admin/: `make pictures`. Its name has no test_, so a test run skips it.

They show the pages that the tests visit, with the same users.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser import named_users
from tests.browser.conftest import Visit
from tests.browser.panel import Panel
from tests.browser.product import Product
from tests.usermanager.processes import eventually

FOLDER = Path(__file__).parents[2] / "docs" / "admin"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SIZES: dict[str, dict[str, Any]] = {"desktop": DESKTOP, "phone": PHONE, "dark": DESKTOP | {"color_scheme": "dark"}}
COLOURS = 128
SUBJECT = "Quirina Posteingang"


@pytest.fixture(scope="module")
def busy(product: Product) -> Product:
    """Returns the product after some users have logged in; its mail server rejects an address."""
    for name in named_users.NAMED:
        product.log_in(name)
    product.post.answers["RCPT"] = "550 5.1.1 mailbox unavailable"
    return product


@pytest.mark.parametrize("name", SIZES)
def test_picture(visit: Visit, busy: Product, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    panel = visit(**SIZES[name])
    panel.open("/admin/")
    take(panel.page, f"login-{name}")
    panel.log_in()
    take(panel.page, f"overview-{name}")
    panel.search("garcía lópez")
    take(panel.page, f"users-{name}")
    panel.choose("suspend")
    take(panel.page, f"confirmation-{name}")
    panel.go_to(SUBJECT)
    _make_an_email_fail(panel)
    take(panel.page, f"user-{name}", is_whole=True)
    panel.open("/admin/second-factor/")
    panel.page.click("button[value=begin]")
    take(panel.page, f"second-factor-{name}", is_whole=True)
    panel.open("/admin/notifications/outboxmail/")
    take(panel.page, f"mails-{name}")
    panel.page.locator("#result_list tbody a").first.click()
    panel.page.frame_locator("iframe.email-preview").get_by_role("heading").wait_for()
    take(panel.page, f"mail-{name}", is_whole=True)


def _make_an_email_fail(panel: Panel) -> None:
    mails = panel.page.locator("section[aria-labelledby=mails]")
    if "550" not in mails.inner_text():
        panel.press("reset")
        eventually(lambda: panel.page.reload() and "550" in mails.inner_text())


def take(page: Page, name: str, *, is_whole: bool = False) -> None:
    page.mouse.move(0, 0)
    picture = Image.open(BytesIO(page.screenshot(full_page=is_whole))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
