"""The page behind the emailed link that sets up a second factor: without scripts by keyboard, and with a passkey."""

import re

import pyotp
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.panel import Panel
from tests.browser.product import PASSWORD, Product

PHONE = {"width": 390, "height": 844}
NAME, OF_PASSKEY, TOO_LATE = "Quirina Faktor", "Quirina Llave", "Quirina Tarde"
CODE = re.compile(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){5}")


def open_link(panel: Panel, link: str) -> None:
    """Opens the link, and sends the password with the Enter key."""
    panel.page.goto(link)
    panel.page.focus("[name=password]")
    panel.page.keyboard.type(PASSWORD)
    with panel.page.expect_navigation():
        panel.page.keyboard.press("Enter")


def test_a_second_factor_is_set_up_without_scripts_by_keyboard(visit: Visit, product: Product) -> None:
    """visit() fails if the browser's console shows an error, such as a violation of the page's policy."""
    panel = visit(java_script_enabled=False, viewport=PHONE)
    page, keyboard = panel.page, panel.page.keyboard
    open_link(panel, product.reset_second_factors(NAME))
    expect(page.get_by_role("heading", name="passkey")).to_have_count(0)
    expect(page.get_by_role("button")).to_have_count(1)
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    key = page.locator("code.key").inner_text().replace(" ", "")
    page.focus("[name=code]")
    keyboard.type(pyotp.TOTP(key).now())
    with page.expect_navigation():
        keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your second factor is set up")).to_be_visible()
    codes = page.locator("ol.codes li").all_inner_texts()
    assert len(codes) == 10
    assert all(CODE.fullmatch(code.strip()) for code in codes)


def test_a_passkey_is_set_up_and_logs_in(panel: Panel, visit: Visit, product: Product) -> None:
    panel.give_role(OF_PASSKEY, "admin")
    mine = visit(viewport=PHONE)
    page = mine.page
    open_link(mine, product.reset_second_factors(OF_PASSKEY))
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    connection, authenticator = mine.add_authenticator()
    connection.send("WebAuthn.setUserVerified", {**authenticator, "isUserVerified": False})
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("Your browser used no passkey. Please try again.")
    connection.send("WebAuthn.setUserVerified", {**authenticator, "isUserVerified": True})
    page.get_by_role("textbox", name="Name").fill("Phone")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your second factor is set up")).to_be_visible()
    expect(page.locator("ol.codes li")).to_have_count(10)
    page.get_by_role("link", name="Go to the admin panel").click()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.locator("body.dashboard")).to_be_visible()
    mine.open("/admin/second-factor/")
    expect(page.locator("input[value=Phone]")).to_be_visible()


def test_a_page_that_is_too_old_asks_the_server(visit: Visit, product: Product) -> None:
    """It can't be loaded again: its address without the form shows no page."""
    panel = visit()
    page = panel.page
    open_link(panel, product.reset_second_factors(TOO_LATE))
    page.evaluate("performance.now = () => 3600 * 1000")
    with page.expect_request("**/set-up-second-factor") as sent:
        page.get_by_role("button", name="Add a passkey").click()
    assert sent.value.method == "POST"
    assert "passkey=&" in (sent.value.post_data or "")
    expect(page.get_by_role("heading", name="Add a second factor")).to_be_visible()
    assert all("status of 400" in error for error in panel.errors)
    panel.errors.clear()
