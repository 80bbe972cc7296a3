"""The outbox in the admin panel."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEvent, OneTimeToken, User
from notifications import actions, outbox
from notifications.models import OutboxMail, State
from notifications.sending import delivery
from tests.notifications.conftest import Sees

Enqueue = Callable[..., OutboxMail]
LIST = reverse("admin:notifications_outboxmail_changelist")
EVENTS = {"retry": "mail:retried", "cancel": "mail:cancelled"}


def choose(client: Client, action: str, *mails: OutboxMail, **form: str) -> str:
    """Chooses an action and, with `confirmed`, confirms it; returns the page."""
    chosen = {"action": action, "_selected_action": [str(mail.pk) for mail in mails]}
    return client.post(LIST, chosen | form, follow=True).content.decode()


def agree(client: Client, action: str, *mails: OutboxMail) -> str:
    return choose(client, action, *mails, confirmed="yes")


def page_of(mail: OutboxMail, action: str = "change", *args: str) -> str:
    return reverse(f"admin:notifications_outboxmail_{action}", args=[mail.pk, *args])


def press(client: Client, mail: OutboxMail, action: str) -> Any:
    return client.post(page_of(mail, "action", action), follow=True)


def failed(enqueue: Enqueue, **fields: Any) -> OutboxMail:
    claimed = outbox.claim(enqueue(**fields).pk)
    assert claimed
    outbox.mark_failed(claimed, "550 no such user")
    claimed.refresh_from_db()
    return claimed


def sent(enqueue: Enqueue) -> OutboxMail:
    claimed = outbox.claim(enqueue().pk)
    assert claimed
    outbox.mark_sent(claimed)
    claimed.refresh_from_db()
    return claimed


def events() -> list[tuple[str, str | None, str]]:
    """Returns the action, email and actor of each audit event."""
    found = AuditEvent.objects.filter(kind__startswith="mail:").order_by("id")
    people = dict(User.objects.values_list("pk", "email"))
    return [(event.kind, people.get(event.actor_id) if event.actor_id else None, event.data["mail"]) for event in found]


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("Registered already", "failed", "Send again")), ("es", ("Ya registrado", "fallido", "Enviar de nuevo"))],
)
def test_the_list_shows_the_state_of_each_email(
    manages: Client, enqueue: Enqueue, language: str, words: tuple[str, ...]
) -> None:
    mail = failed(enqueue, language="en")
    for address in (LIST, page_of(mail)):
        page = manages.get(address, headers={"Accept-Language": language}).content.decode()
        for text in ("ana@example.com", "550 no such user", *words):
            assert text in page, address
        assert 'name="_save"' not in page


def test_the_last_error_is_shown_in_the_language_of_the_administrator(
    manages: Client, enqueue: Enqueue, root: User
) -> None:
    nobodys = enqueue(email="nobody@example.com")
    delivery.deliver(nobodys.pk)
    cancelled = enqueue(email=root.email)
    actions.cancel(OutboxMail.objects.filter(pk=cancelled.pk), actor=root)
    spanish = {"Accept-Language": "es"}
    for mail, stored, shown in (
        (nobodys, "No user has this address.", "Ningún usuario tiene esta dirección."),
        (cancelled, "Cancelled by an administrator.", "Cancelado por un administrador."),
    ):
        mail.refresh_from_db()
        assert mail.last_error == stored
        for address in (LIST, page_of(mail)):
            page = manages.get(address, headers=spanish).content.decode()
            assert (shown in page, stored in page) == (True, False), address
    overseer = Client()
    overseer.force_login(root)
    user_page = overseer.get(reverse("admin:accounts_user_change", args=[root.pk]), headers=spanish).content.decode()
    assert "Cancelado por un administrador." in user_page


@pytest.mark.parametrize("by", ["address", "address in capitals", "id", "user's id"])
def test_an_email_is_found_by_its_address_and_by_ids(sees: Sees, enqueue: Enqueue, ana: User, by: str) -> None:
    mail = enqueue(user=ana)
    enqueue(email="bruno@example.com")
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


def test_half_an_address_finds_nothing(sees: Sees, enqueue: Enqueue) -> None:
    mail = enqueue()
    assert str(mail.pk) not in sees("mails.view").get(LIST, {"q": "ana"}).content.decode()


def test_lists_are_narrowed_by_state_and_kind(sees: Sees, enqueue: Enqueue) -> None:
    mails = {
        "owed": enqueue(),
        "failed": failed(enqueue),
        "sent": sent(enqueue),
        "cancelled": enqueue(kind="invitation"),
    }
    outbox.cancel(OutboxMail.objects.filter(pk=mails["cancelled"].pk), "no")
    late = mails["late"] = enqueue()
    OutboxMail.objects.filter(pk=late.pk).update(attempts=1)
    client = sees("mails.view")

    def shown(**query: str) -> set[str]:
        page = client.get(LIST, query).content.decode()
        return {name for name, mail in mails.items() if str(mail.pk) in page}

    for name in ("failed", "sent", "cancelled", "late"):
        assert shown(state=name) == {name}
    assert shown(state="owed") == {"owed", "late"}
    assert shown(kind="invitation") == {"cancelled"}


def test_the_page_of_an_email_shows_its_text_without_the_secret(manages: Client, enqueue: Enqueue, ana: User) -> None:
    mail = enqueue(kind="password_reset", email=ana.email)
    with CaptureQueriesContext(connection) as queries:
        page = manages.get(page_of(mail))
        frame = manages.get(page_of(mail, "preview"))
    html = page.content.decode()
    assert (
        f'<iframe class="email-preview" sandbox="" title="HTML of the email" src="{page_of(mail, "preview")}">' in html
    )
    assert "frame-src 'self'" in page["Content-Security-Policy"]
    assert "/reset-password?token=…" in html
    assert "/reset-password?token=…" in frame.content.decode()
    assert not OneTimeToken.objects.exists()
    written = [query["sql"] for query in queries if not query["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))]
    assert written == []


def test_the_preview_frame_runs_and_loads_nothing_and_only_our_pages_embed_it(
    manages: Client, enqueue: Enqueue
) -> None:
    frame = manages.get(page_of(enqueue(), "preview"))
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
def test_an_action_does_nothing_before_it_is_confirmed(manages: Client, enqueue: Enqueue, action: str) -> None:
    page = choose(manages, action, enqueue(), sent(enqueue))
    assert "1 email will be" in page
    assert "This email was already sent." in page
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.PENDING, State.SENT}
    assert events() == []


def test_failed_emails_are_sent_again_together(manages: Client, enqueue: Enqueue) -> None:
    mails = [failed(enqueue), failed(enqueue, email="bruno@example.com")]
    done = sent(enqueue)
    assert "2 emails will be sent again." in agree(manages, "retry", done, *mails)
    for mail in mails:
        mail.refresh_from_db()
        assert (mail.state, mail.attempts) == (State.PENDING, 0)
    done.refresh_from_db()
    assert done.state == State.SENT
    assert events() == [("mail:retried", "carla@example.com", str(mail.pk)) for mail in mails]


def test_pending_emails_are_cancelled_together(manages: Client, enqueue: Enqueue, ana: User) -> None:
    mails = [enqueue(user=ana), enqueue()]
    assert "2 emails were cancelled." in agree(manages, "cancel", *mails)
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.CANCELLED}
    assert events() == [("mail:cancelled", "carla@example.com", str(mail.pk)) for mail in mails]
    assert [event.user_id for event in AuditEvent.objects.filter(kind="mail:cancelled").order_by("id")] == [
        ana.pk,
        None,
    ]


def test_a_failed_email_is_sent_again_from_its_page(manages: Client, enqueue: Enqueue) -> None:
    mail = failed(enqueue)
    answer = press(manages, mail, "retry")
    assert answer.redirect_chain == [(page_of(mail), 302)]
    assert "1 email will be sent again." in answer.content.decode()
    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == (State.PENDING, 0)
    assert events() == [("mail:retried", "carla@example.com", str(mail.pk))]


def test_a_pending_email_is_cancelled_from_its_page(manages: Client, enqueue: Enqueue) -> None:
    mail = enqueue()
    assert "1 email was cancelled." in press(manages, mail, "cancel").content.decode()
    mail.refresh_from_db()
    assert (mail.state, mail.last_error) == (State.CANCELLED, "Cancelled by an administrator.")
    assert events() == [("mail:cancelled", "carla@example.com", str(mail.pk))]


def test_a_page_offers_only_possible_actions(manages: Client, enqueue: Enqueue) -> None:
    for mail, offered in ((enqueue(), {"retry", "cancel"}), (failed(enqueue), {"retry"}), (sent(enqueue), set())):
        page = manages.get(page_of(mail)).content.decode()
        assert {action for action in EVENTS if page_of(mail, "action", action) in page} == offered


def test_a_sent_email_stays_sent(manages: Client, enqueue: Enqueue) -> None:
    mail = sent(enqueue)
    assert "0 emails will be sent again." in press(manages, mail, "retry").content.decode()
    mail.refresh_from_db()
    assert mail.state == State.SENT
    assert events() == []
