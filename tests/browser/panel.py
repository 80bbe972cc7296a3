"""What people do in the panel, in whatever language it is; and what a browser complains about meanwhile."""

import re

from playwright.sync_api import ConsoleMessage, Locator, Page, Response

from tests.browser import people
from tests.browser.product import ADMIN, PASSWORD, Product

MOST_KEYS = 120
# A policy that is violated is in the console too, but not each kind of it in every version.
VIOLATIONS = (
    "addEventListener('securitypolicyviolation', e => console.error('policy', e.violatedDirective, e.blockedURI))"
)


class Panel:
    """One browser's window, with somebody in front of it."""

    def __init__(self, page: Page, product: Product) -> None:
        self.page = page
        self.product = product
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda fault: self.complaints.append(f"{page.url}: {fault}"))

    def open(self, path: str) -> None:
        answer = self.page.goto(f"{self.product.url}{path}")
        assert answer
        assert answer.ok, f"{path}: {answer.status}"

    def log_in(self) -> None:
        self.open("/admin/")
        self.page.fill("#id_username", ADMIN)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("#login-form [type=submit]")
        self.page.wait_for_url("**/admin/")

    def search(self, term: str) -> Response:
        """Searches the list of users, and returns the answer."""
        self.page.click("#places a[href$='/accounts/user/']")
        self.page.fill("#searchbar", term)
        with self.page.expect_response(re.compile(r"/accounts/user/\?q=")) as answer:
            self.page.click("#changelist-search [type=submit]")
        self.page.wait_for_load_state()
        return answer.value

    def go_to(self, name: str) -> None:
        """The page of a user, by way of the search."""
        self.search(people.address(name))
        self.page.locator("#result_list tbody a", has_text=people.address(name)).click()
        self.page.wait_for_url("**/change/")

    def press(self, deed: str) -> None:
        """A button on the page of a user or a mail."""
        self.page.click(f"form[action$='/do/{deed}/'] button")
        self.said.wait_for()

    def suspend(self, reason: str) -> None:
        self.page.fill("[name=reason]", reason)
        self.press("suspend")

    def choose(self, action: str) -> None:
        """Ticks all rows of the list that is shown, and chooses what to do to them."""
        for box in self.page.locator("input.action-select").all():
            box.check()
        self.page.select_option("select[name=action]", action)
        self.page.click("#changelist-form .actions button")

    def tab_to(self, target: Locator) -> None:
        """Presses the tabulator until the target has the focus, which must then be visible."""
        for _ in range(MOST_KEYS):
            self.page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                assert target.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
                return
        raise AssertionError(f"{MOST_KEYS} tabulators do not lead to {target}")

    @property
    def said(self) -> Locator:
        """The messages on top of the page."""
        return self.page.locator(".messagelist")

    @property
    def badges(self) -> Locator:
        return self.page.locator("header.person .badge")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")
