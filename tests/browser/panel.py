"""Steps in the panel that work in every language; collects the errors of the browser's console."""

import re
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, Response

from tests.browser import named_users
from tests.browser.product import ADMIN, PASSWORD, Product

MAX_KEYS = 120
# Chromium logs violations of the policy, too, but not every kind in every version.
VIOLATIONS = (
    "addEventListener('securitypolicyviolation', e => console.error('policy', e.violatedDirective, e.blockedURI))"
)
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Panel:
    """One browser window with the panel."""

    def __init__(self, page: Page, product: Product) -> None:
        self.page = page
        self.product = product
        self.errors: list[str] = []
        page.on("console", self._add_error)
        page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))

    def open(self, path: str) -> None:
        answer = self.page.goto(f"{self.product.url}{path}")
        assert answer
        assert answer.ok, f"{path}: {answer.status}"

    def log_in(self, email: str = ADMIN) -> None:
        self.open("/admin/")
        self.page.fill("#id_username", email)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("#login-form [type=submit]")
        self.page.wait_for_url("**/admin/")

    def search(self, term: str) -> Response:
        """Searches the list of users, and returns the response."""
        self.page.click("#site-nav a[href$='/accounts/user/']")
        self.page.fill("#searchbar", term)
        with self.page.expect_response(re.compile(r"/accounts/user/\?q=")) as answer:
            self.page.click("#changelist-search [type=submit]")
        self.page.wait_for_load_state()
        return answer.value

    def go_to(self, name: str) -> None:
        """Opens the page of a user through the search."""
        self.search(named_users.address(name))
        self.page.locator("#result_list tbody a", has_text=named_users.address(name)).click()
        self.page.wait_for_url("**/change/")

    def press(self, action: str) -> None:
        """Presses the button of an action on the page of a user or an email."""
        self.page.click(f"form[action$='/do/{action}/'] button")
        self.said.wait_for()

    def give_role(self, name: str, role: str) -> None:
        """Gives a user a role, on their page."""
        self.go_to(name)
        self.page.select_option("#id_role", label=role)
        self.page.click(".submit-row [type=submit]")
        self.said.wait_for()

    def suspend(self, reason: str) -> None:
        self.page.fill("[name=reason]", reason)
        self.press("suspend")

    def choose(self, action: str) -> None:
        """Selects all rows of the list, and chooses an action."""
        for box in self.page.locator("input.action-select").all():
            box.check()
        self.page.select_option("select[name=action]", action)
        self.page.click("#changelist-form .actions button")

    def add_authenticator(self) -> tuple[Any, dict[str, str]]:
        """Adds a virtual authenticator to the browser. Returns the connection to it, and its id."""
        connection = self.page.context.new_cdp_session(self.page)
        connection.send("WebAuthn.enable")
        added: dict[str, str] = connection.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        return connection, added

    def tab_to(self, target: Locator) -> None:
        """Presses the Tab key until the target has the focus, and asserts that the focus is visible."""
        for _ in range(MAX_KEYS):
            self.page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                assert target.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
                return
        raise AssertionError(f"{MAX_KEYS} Tab keys do not reach {target}")

    @property
    def said(self) -> Locator:
        """The messages at the top of the page."""
        return self.page.locator(".messagelist")

    @property
    def badges(self) -> Locator:
        return self.page.locator("header.page-header .badge")

    def _add_error(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{self.page.url}: {message.text}")
