"""The panel in a browser, with 100,000 users."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser import named_users
from tests.browser.conftest import Visit
from tests.browser.panel import Panel
from tests.browser.product import ADMIN, PASSWORD, Product
from tests.usermanager.processes import eventually

MILLISECONDS = re.compile(r"\d+ ms")
PHONE = {"width": 390, "height": 844}


def test_a_user_is_found_and_suspended(panel: Panel, record_property: Callable[[str, object], None]) -> None:
    answer = panel.search("irina suspend")
    timing = answer.request.timing
    took = f"search among {named_users.NUMBER:,} users: {timing['responseStart'] - timing['requestStart']:.0f} ms"
    assert MILLISECONDS.search(took)
    record_property("seconds", took)
    expect(panel.page.locator("#result_list tbody tr")).to_have_count(1)
    panel.page.click("#result_list tbody a")
    panel.suspend("Chargeback")
    expect(panel.said).to_have_text("The user is logged out everywhere and can't log in.")
    expect(panel.badges.last).to_have_text("Suspended")
    expect(panel.page.locator(".notice")).to_contain_text("Suspended: Chargeback")
    expect(panel.page.locator("section[aria-labelledby=history]")).to_contain_text("Suspended")


def test_it_works_without_scripts(visit: Visit) -> None:
    panel = visit(java_script_enabled=False)
    panel.log_in()
    panel.go_to("Quirina Ohne Skript")
    panel.suspend("Spam")
    expect(panel.badges.last).to_have_text("Suspended")
    panel.search(named_users.address("Quirina Ohne Skript"))
    panel.choose("activate")
    panel.page.click("button.main")
    expect(panel.said).to_have_text("Done for 1 user.")
    expect(panel.page.locator("#result_list .badge")).to_have_text("Active")


def test_it_works_in_spanish(visit: Visit) -> None:
    panel = visit(locale="es-ES")
    panel.log_in()
    expect(panel.page.locator("html")).to_have_attribute("lang", "es")
    panel.go_to("Quirina Española")
    panel.suspend("Devolución de un cobro")
    expect(panel.badges.last).to_have_text("Suspendido")


def test_several_users_get_another_role_after_confirmation(panel: Panel) -> None:
    panel.search("quirina")
    chosen = panel.page.locator("#result_list tbody tr", has_text=re.compile("Erste|Zweite"))
    for row in chosen.all():
        row.locator("input.action-select").check()
    panel.page.select_option("select[name=action]", "change_role")
    panel.page.click("#changelist-form .actions button")
    expect(panel.page.locator("form.card")).to_contain_text("The role of 2 users will change.")
    for name in ("Quirina Erste", "Quirina Zweite"):
        expect(panel.page.locator("form.card tbody")).to_contain_text(named_users.address(name))
    panel.page.select_option("select[name=role]", label="admin")
    panel.page.click("button.main")
    expect(panel.said).to_have_text("Done for 2 users.")
    panel.search("quirina")
    for row in chosen.all():
        expect(row.locator(".field-role")).to_have_text("admin")


def test_a_session_is_ended(panel: Panel, product: Product) -> None:
    access = product.log_in("Quirina Angemeldet")
    assert product.is_active(access)
    panel.go_to("Quirina Angemeldet")
    sessions = panel.page.locator("section[aria-labelledby=sessions]")
    expect(sessions).to_contain_text("Firefox on Linux")
    sessions.get_by_role("button", name="End the session").click()
    expect(panel.said).to_have_text("The session has ended.")
    expect(sessions).to_contain_text("No open sessions.")
    assert not product.is_active(access)


def test_a_failed_email_is_previewed_and_sent_again(panel: Panel, product: Product) -> None:
    product.post.answers["RCPT"] = "550 no such user"
    panel.go_to("Quirina Posteingang")
    panel.press("reset")
    mails = panel.page.locator("section[aria-labelledby=mails]")
    eventually(lambda: panel.page.reload() and "550 no such user" in mails.inner_text())
    product.post.answers.clear()

    mails.get_by_role("link", name="Reset the password").click()
    letter = panel.page.frame_locator("iframe.email-preview")
    expect(letter.get_by_role("heading")).to_have_text("Reset your password")
    expect(letter.locator("body")).to_contain_text("/reset-password?token=…")
    expect(letter.locator("td.button")).to_have_css("background-color", "rgb(29, 78, 216)")

    panel.press("retry")
    expect(panel.said).to_have_text("1 email will be sent again.")
    eventually(
        lambda: [mail for mail in product.post.mails if mail["To"] == named_users.address("Quirina Posteingang")]
    )
    eventually(lambda: panel.page.reload() and panel.badges.inner_text() == "sent")


def test_it_works_with_the_keyboard_alone(visit: Visit) -> None:
    panel = visit()
    page, keyboard = panel.page, panel.page.keyboard
    panel.open("/admin/")
    expect(page.locator("#id_username")).to_be_focused()
    keyboard.type(ADMIN)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    page.wait_for_url("**/admin/")
    panel.tab_to(page.locator("#site-nav a[href$='/accounts/user/']"))
    keyboard.press("Enter")
    panel.tab_to(page.locator("#searchbar"))
    keyboard.type(named_users.address("Quirina Tastatur"))
    keyboard.press("Enter")
    panel.tab_to(page.locator("#result_list tbody a", has_text="Tastatur"))
    keyboard.press("Enter")
    panel.tab_to(page.locator("[name=reason]"))
    keyboard.type("Spam")
    panel.tab_to(page.locator("form[action$='/do/suspend/'] button"))
    keyboard.press("Enter")
    expect(panel.badges.last).to_have_text("Suspended")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_without_console_errors(visit: Visit, scheme: str) -> None:
    """visit() fails if the browser's console shows an error."""
    panel = visit(viewport=PHONE, color_scheme=scheme)
    panel.log_in()
    places = [link.get_attribute("href") for link in panel.page.locator("#site-nav a").all()]
    assert len(places) == 6
    for place in [
        *map(str, places),
        "/admin/password_change/",
        "/admin/accounts/user/add/",
        "/admin/accounts/role/add/",
    ]:
        panel.open(place)
        wide = panel.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], place
    panel.go_to("Quirina Belegt")
    assert panel.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("locale", ["en-US", "es-ES"])
def test_the_header_has_one_row_that_shows_all(visit: Visit, locale: str) -> None:
    panel = visit(locale=locale)
    panel.log_in()
    header = panel.page.locator("#header").bounding_box()
    assert header
    assert header["height"] < 70
    wide, visible = panel.page.locator("#site-nav").evaluate("nav => [nav.scrollWidth, nav.clientWidth]")
    assert wide <= visible
