"""An administrator adds an authenticator app in the panel and logs in with it: by keyboard, and without scripts."""

import re

from playwright.sync_api import expect

from tests.browser import named_users
from tests.browser.conftest import Visit
from tests.browser.panel import Panel
from tests.browser.product import PASSWORD
from tests.second_factors import Phone

NAME = "Quirina Sicher"
PHONE = {"width": 390, "height": 844}


def type_and_send(panel: Panel, selector: str, typed: str) -> None:
    panel.tab_to(panel.page.locator(selector))
    panel.page.keyboard.type(typed)
    panel.page.keyboard.press("Enter")


def log_in_by_keyboard(panel: Panel) -> None:
    panel.open("/admin/")
    expect(panel.page.locator("#id_username")).to_be_focused()
    panel.page.keyboard.type(named_users.address(NAME))
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.type(PASSWORD)
    panel.page.keyboard.press("Enter")


def test_the_whole_flow_works_by_keyboard_and_without_scripts(panel: Panel, visit: Visit) -> None:
    panel.give_role(NAME, "admin")
    mine = visit(java_script_enabled=False, viewport=PHONE)
    page, keyboard = mine.page, mine.page.keyboard
    log_in_by_keyboard(mine)
    expect(page.locator("#site-nav")).to_be_visible()
    mine.tab_to(page.locator("#user-tools a[href='/admin/second-factor/']"))
    keyboard.press("Enter")
    mine.tab_to(page.get_by_role("button", name="Set up an authenticator app"))
    keyboard.press("Enter")
    expect(page.locator(".qr svg")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone = Phone(page.locator(".key").inner_text().replace(" ", ""))
    type_and_send(mine, "[name=code]", "000000")
    expect(page.get_by_role("alert")).to_have_text("This code or passkey was not accepted.")
    type_and_send(mine, "[name=code]", phone.code())
    expect(page.locator(".codes code")).to_have_count(10)
    codes = page.locator(".codes code").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    mine.tab_to(page.get_by_role("link", name="I have stored the codes"))
    keyboard.press("Enter")
    expect(page.locator("body.dashboard")).to_be_visible()

    mine.tab_to(page.get_by_role("button", name="Log out"))
    keyboard.press("Enter")
    page.wait_for_url("**/logout/")
    log_in_by_keyboard(mine)
    page.wait_for_url(re.compile("/admin/login/second/"))
    expect(page.locator("[name=code]")).to_be_focused()
    keyboard.type(phone.code())
    keyboard.press("Enter")
    expect(page.locator("body.dashboard")).to_be_visible()

    mine.open("/admin/confirm/?next=/admin/accounts/role/")
    mine.tab_to(page.get_by_role("link", name="Use a recovery code"))
    keyboard.press("Enter")
    page.wait_for_url(re.compile("letters"))
    expect(page.locator("[name=code]")).to_be_focused()
    keyboard.type(codes[0].lower())
    keyboard.press("Enter")
    page.wait_for_url("**/admin/accounts/role/")
