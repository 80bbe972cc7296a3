"""The outbox in the admin panel."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEvent, OneTimeToken, User
from notifications import delivery, interventions, outbox
from notifications.models import OutboxMail, State
from tests.notifications.conftest import Sees

Owe = Callable[..., OutboxMail]
LIST = reverse("admin:notifications_outboxmail_changelist")
EVENTS = {"retry": "mail:retried", "cancel": "mail:cancelled"}


def choose(client: Client, action: str, *mails: OutboxMail, **form: str) -> str:
    """What the page says after the action was chosen and, with `confirmed`, agreed to."""
    chosen = {"action": action, "_selected_action": [str(mail.pk) for mail in mails]}
    return client.post(LIST, chosen | form, follow=True).content.decode()


def agree(client: Client, action: str, *mails: OutboxMail) -> str:
    return choose(client, action, *mails, confirmed="yes")


def page_of(mail: OutboxMail, deed: str = "change", *args: str) -> str:
    return reverse(f"admin:notifications_outboxmail_{deed}", args=[mail.pk, *args])


def press(client: Client, mail: OutboxMail, deed: str) -> Any:
    return client.post(page_of(mail, "do", deed), follow=True)


def failed(owe: Owe, **fields: Any) -> OutboxMail:
    claimed = outbox.claim(owe(**fields).pk)
    assert claimed
    outbox.settle_failed(claimed, "550 no such user")
    claimed.refresh_from_db()
    return claimed


def sent(owe: Owe) -> OutboxMail:
    claimed = outbox.claim(owe().pk)
    assert claimed
    outbox.settle_sent(claimed)
    claimed.refresh_from_db()
    return claimed


def events() -> list[tuple[str, str | None, str]]:
    """What was done to which mail, and by whom."""
    found = AuditEvent.objects.filter(kind__startswith="mail:").order_by("id")
    people = dict(User.objects.values_list("pk", "email"))
    return [(event.kind, people.get(event.actor_id) if event.actor_id else None, event.data["mail"]) for event in found]


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("Registered already", "failed", "Send again")), ("es", ("Ya registrado", "fallido", "Enviar de nuevo"))],
)
def test_who_may_see_mails_sees_how_each_went(manages: Client, owe: Owe, language: str, words: tuple[str, ...]) -> None:
    mail = failed(owe, language="en")
    for address in (LIST, page_of(mail)):
        page = manages.get(address, headers={"Accept-Language": language}).content.decode()
        for text in ("ana@example.com", "550 no such user", *words):
            assert text in page, address
        assert 'name="_save"' not in page


def test_why_a_mail_did_not_go_is_said_in_the_language_of_who_looks(manages: Client, owe: Owe, root: User) -> None:
    nobodys = owe(email="nobody@example.com")
    delivery.deliver(nobodys.pk)
    cancelled = owe(email=root.email)
    interventions.cancel(OutboxMail.objects.filter(pk=cancelled.pk), actor=root)
    spanish = {"Accept-Language": "es"}
    for mail, stored, shown in (
        (nobodys, "Nobody has this address.", "Nadie tiene esta dirección."),
        (cancelled, "An administrator cancelled it.", "Lo canceló un administrador."),
    ):
        mail.refresh_from_db()
        assert mail.last_error == stored
        for address in (LIST, page_of(mail)):
            page = manages.get(address, headers=spanish).content.decode()
            assert (shown in page, stored in page) == (True, False), address
    overseer = Client()
    overseer.force_login(root)
    user_page = overseer.get(reverse("admin:accounts_user_change", args=[root.pk]), headers=spanish).content.decode()
    assert "Lo canceló un administrador." in user_page


@pytest.mark.parametrize("by", ["address", "address in capitals", "id", "user's id"])
def test_a_mail_is_found_by_its_address_and_by_ids(sees: Sees, owe: Owe, ana: User, by: str) -> None:
    mail = owe(user=ana)
    owe(email="bruno@example.com")
    term = {"address": ana.email, "address in capitals": "ANA@Example.com", "id": mail.pk, "user's id": ana.pk}[by]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = sees("mails.view").get(LIST, {"q": f" {term} "}).content.decode()
    assert str(mail.pk) in page
    assert "bruno@example.com" not in page
    searches = [sql for query in queries if " ORDER BY " in (sql := query["sql"]) and OutboxMail._meta.db_table in sql]
    assert searches
    for sql in searches:
        assert "SCAN" not in plan(sql)


def plan(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return " ".join(row[-1] for row in cursor.fetchall())


def test_half_an_address_finds_nothing(sees: Sees, owe: Owe) -> None:
    mail = owe()
    assert str(mail.pk) not in sees("mails.view").get(LIST, {"q": "ana"}).content.decode()


def test_lists_are_narrowed_by_state_and_kind(sees: Sees, owe: Owe) -> None:
    mails = {"owed": owe(), "failed": failed(owe), "sent": sent(owe), "cancelled": owe(kind="invitation")}
    outbox.cancel(OutboxMail.objects.filter(pk=mails["cancelled"].pk), "no")
    late = mails["late"] = owe()
    OutboxMail.objects.filter(pk=late.pk).update(attempts=1)
    client = sees("mails.view")

    def shown(**query: str) -> set[str]:
        page = client.get(LIST, query).content.decode()
        return {name for name, mail in mails.items() if str(mail.pk) in page}

    for name in ("failed", "sent", "cancelled", "late"):
        assert shown(state=name) == {name}
    assert shown(state="owed") == {"owed", "late"}
    assert shown(kind="invitation") == {"cancelled"}


def test_the_page_of_a_mail_shows_what_it_says_without_the_secret(manages: Client, owe: Owe, ana: User) -> None:
    mail = owe(kind="password_reset", email=ana.email)
    with CaptureQueriesContext(connection) as queries:
        page = manages.get(page_of(mail))
        frame = manages.get(page_of(mail, "preview"))
    html = page.content.decode()
    assert f'<iframe class="letter" sandbox="" title="The mail\'s HTML" src="{page_of(mail, "preview")}">' in html
    assert "frame-src 'self'" in page["Content-Security-Policy"]
    assert "/reset-password?token=…" in html
    assert "/reset-password?token=…" in frame.content.decode()
    assert not OneTimeToken.objects.exists()
    written = [query["sql"] for query in queries if not query["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))]
    assert written == []


def test_the_frame_runs_nothing_loads_nothing_and_stands_in_our_pages_only(manages: Client, owe: Owe) -> None:
    frame = manages.get(page_of(owe(), "preview"))
    policy = {name: words for name, *words in map(str.split, frame["Content-Security-Policy"].split(";"))}
    assert policy["default-src"] == ["'none'"]
    assert policy["style-src"] == ["'unsafe-inline'"]
    assert policy["img-src"] == ["'self'", "data:"]
    assert policy["frame-ancestors"] == ["'self'"]
    assert policy["sandbox"] == []
    assert "script-src" not in policy
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert "no-store" in frame["Cache-Control"]


@pytest.mark.parametrize("action", EVENTS)
def test_nothing_happens_before_the_question_is_answered(manages: Client, owe: Owe, action: str) -> None:
    page = choose(manages, action, owe(), sent(owe))
    assert "1 mail will be" in page
    assert "It was sent already." in page
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.OWED, State.SENT}
    assert events() == []


def test_failed_mails_are_sent_again_together(manages: Client, owe: Owe) -> None:
    mails = [failed(owe), failed(owe, email="bruno@example.com")]
    done = sent(owe)
    assert "2 mails will be tried again." in agree(manages, "retry", done, *mails)
    for mail in mails:
        mail.refresh_from_db()
        assert (mail.state, mail.attempts) == (State.OWED, 0)
    done.refresh_from_db()
    assert done.state == State.SENT
    assert events() == [("mail:retried", "carla@example.com", str(mail.pk)) for mail in mails]


def test_owed_mails_are_cancelled_together(manages: Client, owe: Owe, ana: User) -> None:
    mails = [owe(user=ana), owe()]
    assert "2 mails were cancelled." in agree(manages, "cancel", *mails)
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.CANCELLED}
    assert events() == [("mail:cancelled", "carla@example.com", str(mail.pk)) for mail in mails]
    assert [event.user_id for event in AuditEvent.objects.filter(kind="mail:cancelled").order_by("id")] == [
        ana.pk,
        None,
    ]


def test_a_failed_mail_is_sent_again_from_its_page(manages: Client, owe: Owe) -> None:
    mail = failed(owe)
    answer = press(manages, mail, "retry")
    assert answer.redirect_chain == [(page_of(mail), 302)]
    assert "1 mail will be tried again." in answer.content.decode()
    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == (State.OWED, 0)
    assert events() == [("mail:retried", "carla@example.com", str(mail.pk))]


def test_an_owed_mail_is_cancelled_from_its_page(manages: Client, owe: Owe) -> None:
    mail = owe()
    assert "1 mail was cancelled." in press(manages, mail, "cancel").content.decode()
    mail.refresh_from_db()
    assert (mail.state, mail.last_error) == (State.CANCELLED, "An administrator cancelled it.")
    assert events() == [("mail:cancelled", "carla@example.com", str(mail.pk))]


def test_a_page_offers_what_can_be_done_and_no_more(manages: Client, owe: Owe) -> None:
    for mail, offered in ((owe(), {"retry", "cancel"}), (failed(owe), {"retry"}), (sent(owe), set())):
        page = manages.get(page_of(mail)).content.decode()
        assert {deed for deed in EVENTS if page_of(mail, "do", deed) in page} == offered


def test_what_was_sent_stays_sent(manages: Client, owe: Owe) -> None:
    mail = sent(owe)
    assert "0 mails will be tried again." in press(manages, mail, "retry").content.decode()
    mail.refresh_from_db()
    assert mail.state == State.SENT
    assert events() == []
