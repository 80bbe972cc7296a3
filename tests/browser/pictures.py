"""Takes the pictures of docs/admin/ anew: `make pictures`. No test, which is why its name begins otherwise.

The pictures show what the tests walk through, with the same people.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser import people
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
    """Some people are signed in, and the mail server refuses somebody."""
    for name in people.NAMED:
        product.log_in(name)
    product.post.answers["RCPT"] = "550 5.1.1 mailbox unavailable"
    return product


@pytest.mark.parametrize("name", SIZES)
def test_picture(visit: Visit, busy: Product, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    panel = visit(**SIZES[name])
    panel.log_in()
    take(panel.page, f"overview-{name}")
    panel.search("garcía lópez")
    take(panel.page, f"users-{name}")
    panel.choose("suspend")
    take(panel.page, f"confirmation-{name}")
    panel.go_to(SUBJECT)
    _have_a_mail_fail(panel)
    take(panel.page, f"user-{name}", is_whole=True)
    panel.open("/admin/notifications/outboxmail/")
    take(panel.page, f"mails-{name}")
    panel.page.locator("#result_list tbody a").first.click()
    panel.page.frame_locator("iframe.letter").get_by_role("heading").wait_for()
    take(panel.page, f"mail-{name}", is_whole=True)


def _have_a_mail_fail(panel: Panel) -> None:
    mails = panel.page.locator("section[aria-labelledby=mails]")
    if "550" not in mails.inner_text():
        panel.press("reset")
        eventually(lambda: panel.page.reload() and "550" in mails.inner_text())


def take(page: Page, name: str, *, is_whole: bool = False) -> None:
    page.mouse.move(0, 0)
    picture = Image.open(BytesIO(page.screenshot(full_page=is_whole))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
