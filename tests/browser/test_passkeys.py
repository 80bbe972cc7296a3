"""An administrator adds a passkey in the panel, logs in with it, and confirms with it that it is them."""

import re

from playwright.sync_api import expect

from tests.browser import named_users
from tests.browser.conftest import Visit
from tests.browser.panel import Panel
from tests.browser.product import PASSWORD

NAME = "Quirina Zugang"
PHONE = {"width": 390, "height": 844}


def press(panel: Panel, name: str) -> None:
    panel.page.get_by_role("button", name=name).click()


def log_out(panel: Panel) -> None:
    press(panel, "Log out")
    panel.page.wait_for_url("**/logout/")
    panel.open("/admin/")


def test_a_passkey_replaces_password_and_code(panel: Panel, visit: Visit) -> None:
    panel.give_role(NAME, "admin")
    mine = visit(viewport=PHONE)
    page = mine.page
    connection, authenticator = mine.add_authenticator()
    mine.log_in(named_users.address(NAME))
    mine.open("/admin/second-factor/")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("textbox", name="Name").fill("Laptop")
    press(mine, "Add a passkey")
    expect(page.locator(".codes code")).to_have_count(10)
    page.get_by_role("link", name="I have stored the codes").click()

    log_out(mine)
    press(mine, "Use a passkey")
    expect(page.locator("body.dashboard")).to_be_visible()
    mine.open("/admin/confirm/?next=/admin/second-factor/")
    press(mine, "Use a passkey")
    page.wait_for_url("**/admin/second-factor/")
    expect(page.locator("input[value=Laptop]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    press(mine, "Add a passkey")
    expect(page.get_by_role("alert")).to_have_text("This device has a passkey of yours already.")

    log_out(mine)
    page.fill("#id_username", named_users.address(NAME))
    page.fill("#id_password", PASSWORD)
    press(mine, "Log in")
    page.wait_for_url(re.compile("/admin/login/second/"))
    connection.send("WebAuthn.setUserVerified", {**authenticator, "isUserVerified": False})
    press(mine, "Use a passkey")
    expect(page.locator("body.dashboard")).to_be_visible()

    log_out(mine)
    connection.send("WebAuthn.clearCredentials", authenticator)
    press(mine, "Use a passkey")
    expect(page.get_by_role("alert")).to_have_text("Your browser used no passkey. Please try again.")


def test_without_scripts_no_page_shows_a_button_for_passkeys(visit: Visit) -> None:
    panel = visit(java_script_enabled=False)
    panel.open("/admin/")
    expect(panel.page.get_by_role("button", name="passkey")).to_have_count(0)
    panel.log_in()
    panel.open("/admin/second-factor/")
    expect(panel.page.get_by_role("button", name="passkey")).to_have_count(0)
    expect(panel.page.get_by_text("Passkeys need JavaScript")).to_be_visible()
