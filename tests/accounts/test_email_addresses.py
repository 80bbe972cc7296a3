"""Two spellings of one address belong to one user, and two users never share an address."""

import unicodedata

import idna
import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.email_addresses import canonical_email, deliverable, validate_email
from accounts.models import User

TRAPS = {"İ": "i", "ı": "i", "ſ": "s", "\u212a": "k"}
"""Letters that one way or another of ignoring case makes equal to an ASCII letter."""

many = settings(max_examples=150, deadline=None)
atom = st.text("abcABCxyzXYZ0189!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=12)
local_part = st.lists(atom, min_size=1, max_size=3).map(".".join)
label = st.text("abcxyzABC0189äöüßéñøșжщЖשא日本한ﬁ", min_size=1, max_size=10)
domain = st.builds("{}.{}".format, label, st.sampled_from(["com", "EXAMPLE", "рф", "xn--p1ai", "日本"]))
plausible = st.builds("{}@{}".format, local_part, domain)


def key_of(address: str) -> str | None:
    try:
        return canonical_email(address)
    except ValueError:
        return None


@many
@given(st.one_of(st.text(), st.builds("{}@{}.{}".format, st.text(), st.text(), st.text())))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    key = key_of(text)
    assert key is None or key.isascii()


@many
@given(plausible)
def test_the_key_is_its_own_key(address: str) -> None:
    key = key_of(address)
    if key is not None:
        assert canonical_email(key) == key
        assert key == key.lower()


@many
@given(plausible)
def test_only_case_and_idna_form_make_no_difference(address: str) -> None:
    key = key_of(address)
    if key is None:
        return
    local, _at, domain = address.rpartition("@")
    assert canonical_email(f"{local.upper()}@{domain}") == key
    assert canonical_email(deliverable(address)) == key
    assert canonical_email(f"{local}@{unicodedata.normalize('NFD', domain)}") == key
    assert key_of(f"x{address}") != key
    assert key_of(f"{local}@x{domain}") != key


alike = st.builds(
    "{}@{}.com".format,
    st.text("aAiIıİsSſkK\u212a.", min_size=1, max_size=2),
    st.sampled_from(
        ["b", "B", "ü", "Ü", "u\u0308", "xn--tda", "XN--TDA", "ß", "ss", "SS", "ſs", "xn--zca", "ii", "ıi"]
    ),
)


@many
@given(alike, alike)
def test_two_addresses_with_one_key_differ_only_in_case_and_idna_form(one: str, other: str) -> None:
    key = key_of(one)
    if key is not None and key == key_of(other):
        assert one.rpartition("@")[0].lower() == other.rpartition("@")[0].lower()
        assert idna.decode(deliverable(one).rpartition("@")[2]) == idna.decode(key.rpartition("@")[2])


@pytest.mark.parametrize(("trap", "letter"), TRAPS.items())
def test_a_letter_that_looks_alike_is_rejected_before_the_at(trap: str, letter: str) -> None:
    assert key_of(f"m{trap}ke@example.com") is None
    assert key_of(f"m{letter}ke@example.com")


@pytest.mark.parametrize(("trap", "letter"), TRAPS.items())
def test_a_letter_that_looks_alike_means_the_host_that_dns_finds(trap: str, letter: str) -> None:
    """UTS 46 maps ſ and the Kelvin sign to the letters, as browsers and mail servers do; İ and ı stay other letters."""
    there, here = key_of(f"ana@{trap}x.example"), canonical_email(f"ana@{letter}x.example")
    assert (there == here) is (trap in "ſ\u212a")


@pytest.mark.django_db
@pytest.mark.parametrize("trap", TRAPS)
def test_a_letter_that_looks_alike_finds_no_other_user(trap: str, ana: User) -> None:
    ana.email = "miske@example.com"
    ana.save(update_fields=["email"])
    assert User.objects.find_by_email("MISKE@EXAMPLE.COM") == ana
    assert User.objects.find_by_email("miske@example.com".replace(TRAPS[trap], trap)) is None


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("Ana@Example.COM", "ana@example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@BÜCHER.example", "ana@xn--bcher-kva.example"),
        ("ana@xn--bcher-kva.example", "ana@xn--bcher-kva.example"),
        ("ana@XN--BCHER-KVA.example", "ana@xn--bcher-kva.example"),
        ("ana@bu\u0308cher.example", "ana@xn--bcher-kva.example"),
        ("ana@straße.example", "ana@xn--strae-oqa.example"),
        ("ana@strasse.example", "ana@strasse.example"),
        ("ana@ｅｘａｍｐｌｅ.com", "ana@example.com"),
        ("ana@example。com", "ana@example.com"),
        ("ana+tag@example.com", "ana+tag@example.com"),
        ("a.n.a@example.com", "a.n.a@example.com"),
        ("o'neil_{x}@a-b.example.co", "o'neil_{x}@a-b.example.co"),
        ("0@0.xn--p1ai", "0@0.xn--p1ai"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_the_key_of_an_address(address: str, key: str) -> None:
    assert canonical_email(address) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ana",
        "ana@",
        "@example.com",
        "ana@example",
        "ana@localhost",
        "ana@127.0.0.1",
        "ana@[127.0.0.1]",
        "ana@example.1",
        "ana@-example.com",
        "ana@example-.com",
        "ana@exa_mple.com",
        "ana@exa mple.com",
        "ana@example..com",
        "ana@.example.com",
        "ana@example.com.",
        "ana@example.com\n",
        "ana@example.com\x00",
        "\x00ana@example.com",
        "an\na@example.com",
        "an\ta@example.com",
        " ana@example.com",
        "ana@example.com ",
        "ana @example.com",
        "ana@@example.com",
        "a@na@example.com",
        ".ana@example.com",
        "ana.@example.com",
        "a..na@example.com",
        '"ana"@example.com',
        '"a b"@example.com',
        "ana(comment)@example.com",
        "Ana <ana@example.com>",
        "ana@example.com,bruno@example.com",
        "ana@example.com>",
        "añа@example.com",
        "ána@example.com",
        "аna@example.com",
        "a\u200bna@example.com",
        "ana@exam\u200dple.com",
        "\ufeffana@example.com",
        "ana@exam\u202eple.com",
        "ana@\ud800.com",
        "\ud800@example.com",
        "ana@xn--a.com",
        "ana@xn--.com",
        "a" * 65 + "@example.com",
        "ana@" + "a" * 64 + ".com",
        "ana@" + ".".join(["a" * 60] * 5) + ".com",
    ],
    ids=ascii,
)
def test_text_that_is_no_address_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|domain"):
        canonical_email(text)
    with pytest.raises(ValidationError) as raised:
        validate_email(text)
    assert raised.value.code == "invalid"


def test_a_soft_hyphen_in_a_domain_is_ignored() -> None:
    assert canonical_email("ana@exam\u00adple.com") == "ana@example.com"


def test_a_too_long_address_is_rejected() -> None:
    longest = "a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".co"
    assert len(longest) == 253
    assert canonical_email(longest)
    assert key_of(longest + "mm") is None


@many
@given(st.text("日本語한국", min_size=30, max_size=250))
def test_the_maximum_length_applies_to_the_key(text: str) -> None:
    labels = [text[start : start + 8] for start in range(0, len(text), 8)]
    key = key_of("ana@" + ".".join([*labels, "com"]))
    assert key is None or len(key) <= 254


def test_a_deliverable_address_keeps_its_local_part_as_written() -> None:
    assert deliverable("Ana.B@Bücher.example") == "Ana.B@xn--bcher-kva.example"


@pytest.mark.django_db
def test_a_user_is_found_in_any_spelling_and_shown_as_written(ana: User) -> None:
    ana.email = "Ana.B@Bücher.example"
    ana.save(update_fields=["email"])
    assert User.objects.find_by_email("aNA.b@xn--BCHER-kva.EXAMPLE") == ana
    assert User.objects.get_by_natural_key("ana.b@BÜCHER.example").email == "Ana.B@Bücher.example"
    assert User.objects.find_by_email("no address") is None
