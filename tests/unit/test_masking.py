"""What is recognized as a secret in what Segue shows."""

import time

import pytest

from segue.masking import NAMES_VARIABLE, known_secrets, masked, masked_text, without_secrets

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "name", ["password", "db_password", "PGPASSWORD", "passwd2", "apiKey", "api-key", "X-Auth-Token", "client_secret",
             "Authorization", "aws_secret_access_key", "dsn", "credentials", "set-cookie"],
)  # fmt: skip
def test_a_value_with_the_name_of_a_secret_is_hidden_whatever_it_is(name: str) -> None:
    assert masked({"in": [{name: "s3cret"}, {name: {"deep": 1}}, {name: 5}]}) == {"in": [{name: "***"}] * 3}


@pytest.mark.parametrize("name", ["max_tokens", "token_count", "sort_key", "author", "compass", "bypass", "passport"])
def test_other_names_are_shown(name: str) -> None:
    assert masked({name: "value"}) == {name: "value"}


def test_names_of_ones_own_are_hidden_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAMES_VARIABLE, "iban, *_PIN, !page_token")
    shown = {"IBAN": "***", "card_pin": "***", "page_token": "3"}
    assert masked({"IBAN": 1, "card_pin": "2", "page_token": "3"}) == shown
    assert masked_text("iban=DE02 page_token=3") == "iban=*** page_token=3"


def test_the_given_value_stays_as_it_is_and_named_arguments_are_hidden() -> None:
    given = {"pin": 1234, "on": True, "token": None, "who": ("ada", {"b"})}
    assert masked(given, {"pin", "on"}) == {"pin": "***", "on": True, "token": None, "who": ["ada", ["b"]]}
    assert given["pin"] == 1234


@pytest.mark.parametrize(
    "text, shown",
    [
        ("at postgresql+psycopg://app:s3/c@r@h:5/db!", "at postgresql+psycopg://app:***@h:5/db!"),
        ("redis://:pw@h/0", "redis://:***@h/0"),
        ("see http://host:80/p?mail=ada@example.org", "see http://host:80/p?mail=ada@example.org"),
        ("https://ghp_abc@github.com/x", "https://***@github.com/x"),
        ("https://h/p?token=abc&page=1", "https://h/p?token=***&page=1"),
        ("host=db password='my \\' pw' user=a", "host=db password='***' user=a"),
        ("Authorization: Bearer abcdefghijkl\nAccept: x", "Authorization: ***\nAccept: x"),
        ("sent Bearer abcdefghijkl", "sent Bearer ***"),
        ("{'password': 'hun\\'ter', 'a': 1}", "{'password': '***', 'a': 1}"),
        ('{"api_key":"abc","token":null}', '{"api_key":"***","token":null}'),
        ("curl --token abc --max-tokens 5", "curl --token *** --max-tokens 5"),
        ("login(password='abc', n=3)", "login(password='***', n=3)"),
        ("unexpected token: '}' at 3", "unexpected token: '}' at 3"),
        ("status='it said password=abc'", "status='it said password=***'"),
        ("name=password=abc, n=3", "name=password=***, n=3"),
        ("run --verbose --token abc", "run --verbose --token ***"),
        ("a=b=c=d=e=f=g=h=i=j=k", "a=b=c=d=e=f=g=h=i=***"),
    ],
)
def test_secrets_in_a_text_are_hidden(text: str, shown: str) -> None:
    assert masked_text(text) == shown
    assert masked_text(shown) == shown
    assert masked([text]) == [shown]


def test_known_secrets_are_found_in_texts() -> None:
    secrets = known_secrets({"user": "ada", "words": ["s3cret", "s3cret and more"], "pin": 12345})
    assert without_secrets("ada: s3cret and more, s3cret, 12345", secrets) == "ada: ***, ***, ***"


@pytest.mark.parametrize(
    "text", ["a{}=", "{}=", "\n{}:", "-{}=", "a.-{}=", '"a"{}:', "--a {}=", "://{}", 'password="\\{}', "Bearer {}"]
)  # fmt: skip
def test_a_long_text_takes_time_in_proportion(text: str) -> None:
    repeated = text[: text.index("{")] or " "
    hostile = text.format(repeated * 20_000)
    began = time.process_time()
    masked_text(hostile)
    assert time.process_time() - began < 2.0  # a quadratic search would take minutes


def test_a_value_that_contains_itself_is_cut() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "***" in repr(masked(endless))


def test_pairs_in_pairs_take_no_long_time() -> None:
    began = time.perf_counter()
    masked_text("a=" * 50_000)
    masked_text("x='" + "a=b " * 25_000 + "'")
    assert time.perf_counter() - began < 5
