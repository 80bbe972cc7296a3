"""The page behind the emailed link that sets up a second factor, by keyboard and without JavaScript."""

import re

import pyotp
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.product import PASSWORD, Product

PHONE = {"width": 390, "height": 844}
NAME = "Quirina Faktor"
CODE = re.compile(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){5}")


def test_a_second_factor_is_set_up_without_scripts_by_keyboard(visit: Visit, product: Product) -> None:
    """visit() fails if the browser's console shows an error, such as a violation of the page's policy."""
    panel = visit(java_script_enabled=False, viewport=PHONE)
    page, keyboard = panel.page, panel.page.keyboard
    page.goto(product.reset_second_factors(NAME))
    page.focus("[name=password]")
    keyboard.type(PASSWORD)
    with page.expect_navigation():
        keyboard.press("Enter")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    key = page.locator("code.key").inner_text().replace(" ", "")
    page.focus("[name=code]")
    keyboard.type(pyotp.TOTP(key).now())
    with page.expect_navigation():
        keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Your second factor is set up")
    codes = page.locator("ol.codes li").all_inner_texts()
    assert len(codes) == 10
    assert all(CODE.fullmatch(code.strip()) for code in codes)
