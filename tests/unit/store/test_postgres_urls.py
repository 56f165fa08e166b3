"""What a PostgreSQL URL may be, which is for libpq to say, and what is never shown of it."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from segue import Segue
from segue.config import database_option, database_url, without_password
from segue.errors import ConfigError, SegueError
from segue.store import open_store
from segue.store.postgres import PostgresStore
from segue.store.postgres_address import address_of
from segue.store.postgres_errors import translated

WORDS = st.text("abcdefgh", min_size=1, max_size=8)
# With letters of its own, so that it is in nothing that is not made from it.
SECRETS = st.tuples(
    st.text(max_size=6), st.sampled_from(["Zq9XvW", "Zq:9X/vW", "Z@q9Xv", "Zq9%XvW"]), st.text(max_size=6)
).map("".join)
PLACES = st.sampled_from(["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "[::1]:1", "", "%2Ftmp%2Fnowhere", "db"])
SCHEMES = st.sampled_from(["postgresql", "postgres", "postgresql+psycopg", "POSTGRESQL+psycopg2", "postgresql+asyncpg"])


@st.composite
def urls(draw: st.DrawFn) -> tuple[str, str]:
    """(a URL, the password in it), said in every place where a password may be, well or badly escaped."""
    secret = draw(SECRETS)
    escaped = quote(secret, safe="") if _is_quotable(secret) else "x"
    said = draw(st.sampled_from([secret, quote(secret, safe=""), quote(secret)])) if _is_quotable(secret) else secret
    scheme, place, user, name = draw(SCHEMES), draw(PLACES), draw(WORDS), draw(WORDS)
    return (
        draw(
            st.sampled_from(
                [
                    f"{scheme}://{user}:{said}@{place}/{name}",
                    f"{scheme}://{user}:{said}@{place}/{name}?sslmode=disable",
                    f"{scheme}://{user}:{said}@{place}",
                    f"{scheme}://:{said}@{place}/{name}",
                    f"{scheme}://{user}@{place}/{name}?password={escaped}",
                    f"host=127.0.0.1 port=1 user={user} password={_as_dsn(secret)} dbname={name}",
                ]
            )
        ),
        secret,
    )


def _is_quotable(text: str) -> bool:
    try:
        quote(text)
    except UnicodeEncodeError:
        return False
    return True


def _as_dsn(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def pieces(secret: str) -> set[str]:
    """What must not be seen of it: itself, as it may be quoted, and the pieces that libpq might take it apart into."""
    found = {secret}
    if _is_quotable(secret):
        found |= {quote(secret), quote(secret, safe="")}
    return found | {piece for piece in ("Zq9XvW", "9X/vW", "q9Xv", "%XvW", "9X", "vW") if piece in secret}


def shown(error: BaseException | None) -> str:
    """All that a person may see of an error and of those behind it."""
    text = ""
    while error is not None:
        text += f"{error}\n{error!r}\n{''.join(traceback.format_exception(error))}\n{error.args}"
        error = error.__cause__ or error.__context__
    return text


def errors_of(url: str) -> list[BaseException]:
    """What is raised for it: when it is read, and when it leads nowhere."""
    try:
        with translated(address_of(url)):
            conninfo = address_of(url).ours
            raise psycopg.OperationalError(f"could not translate host name {conninfo_to_dict(conninfo).get('host')}")
    except SegueError as error:
        return [error]


@given(urls())
@example(("postgresql://app:Zq9XvW/x@127.0.0.1:1/db", "Zq9XvW/x"))
@example(("postgresql://app:12/Zq9XvW@127.0.0.1:1/db", "12/Zq9XvW"))
@example(("postgresql://app:x@Zq9XvW@127.0.0.1:1/db", "x@Zq9XvW"))
@example(("postgresql://app:Zq9XvW%zz@127.0.0.1:1/db", "Zq9XvW%zz"))
@example(("postgresql://app:a/?Zq9XvW=1@127.0.0.1:1/db", "a/?Zq9XvW=1"))
@example(("postgresql://app:[Zq9XvW@[::1]:1/db", "[Zq9XvW"))
@example(("postgresql://app:x\0Zq9XvW@127.0.0.1:1/db", "x\0Zq9XvW"))
def test_a_password_is_nowhere_to_be_seen(case: tuple[str, str]) -> None:
    url, secret = case
    hidden = pieces(secret)
    told = [without_password(url), *map(shown, errors_of(url))]
    try:
        segue = Segue(url)
    except SegueError as error:
        told.append(shown(error))
    else:
        told += [repr(segue), repr(segue.engine), repr(segue.engine.store), repr(address_of(url))]
        segue.close()
    for text in told:
        assert not [piece for piece in hidden if piece in text], text
    assert database_option(url) == ""


@given(st.text(max_size=60), SCHEMES)
def test_no_text_makes_more_than_a_segue_error(text: str, scheme: str) -> None:
    for url in (text, f"{scheme}://{text}", f"host={text}"):
        without_password(url)
        database_option(url)
        try:
            open_store(database_url(url)).close()
        except SegueError as error:
            assert isinstance(error, ValueError)  # noqa: PT017 - most texts are no URL, some are


@given(st.text("abc:@/?#[]%=&,.1'", max_size=24))
@example("u:a[b@127.0.0.1:5432/db")
@example("u:a#b?c@127.0.0.1:5432/db")
@example("%a1")
@example("h:1,g:2/db?target_session_attrs=any")
def test_libpq_decides_what_is_a_url(text: str) -> None:
    url = f"postgresql://{text}"
    try:
        taken = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeDecodeError):
        with pytest.raises(ConfigError):
            address_of(url)
        return
    try:
        address = address_of(url)
    except ConfigError as error:
        assert "port" in str(error)  # noqa: PT017 - libpq looks at ports when it connects
        return
    ours, lent = conninfo_to_dict(address.ours), conninfo_to_dict(address.lent)
    for name, value in taken.items():
        assert lent[name] == value
        assert ours[name] == value or name == "client_encoding"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:p@h/db", "postgres://u:p@h/db", "postgresql+psycopg2://u:p@h/db",
        "postgresql+asyncpg://u:p@h/db", "PostgreSQL://u:p@h/db", "host=h dbname=db user=u password=p",
        "user=u password=p host=h dbname=db",
    ],
)  # fmt: skip
def test_every_spelling_names_the_same_database(url: str) -> None:
    assert isinstance(open_store(url), PostgresStore)
    assert address_of(url).ours == address_of("postgresql://u:p@h/db").ours


@pytest.mark.parametrize(
    "url, place",
    [
        ("postgresql://u:p@h:5/db", "h:5/db"),
        ("postgresql://h1:1,h2/db", "h1:1,h2/db"),
        ("postgresql://u@[::1]:5/db", "[::1]:5/db"),
        ("postgresql:///db", "local PostgreSQL/db"),
        ("postgresql://", "local PostgreSQL"),
        ("service=shop", "PostgreSQL (service shop)"),
    ],
)
def test_a_place_is_named_as_its_owner_would(url: str, place: str) -> None:
    assert address_of(url).place == place


@pytest.mark.parametrize(
    "url, why",
    [
        ("postgresql://u@h/db?sslmod=require", r"unknown to libpq.*\(sslmod\)"),
        ("postgresql://u:p%q@h/db", r"% is not followed.*write % as %25"),
        ("postgresql://u:p q@h/db", "a space, which must be written %20"),
        ("postgresql://u@[::1/db", "lacks its closing bracket"),
        ("postgresql://u@[::1]x/db", "after the brackets of an IPv6 address"),
        ("postgresql://u@h:abc/db", "port in the database URL is not a number"),
        ("postgresql://u@h:99999/db", "from 1 to 65535"),
        ("postgresql://u:p/w@h/db", r"write % as %25, / as %2F, @ as %40"),
        ("postgresql://u@h/db?connect_timeout=soon", "connect_timeout"),
        ("host=h password='x", "a quote is not closed"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        open_store(url)


def test_the_users_own_values_win(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = conninfo_to_dict(
        address_of("postgresql://h/db?connect_timeout=3&tcp_user_timeout=0&application_name=me").ours
    )
    assert (asked["connect_timeout"], asked["tcp_user_timeout"], asked["application_name"]) == ("3", "0", "me")
    assert conninfo_to_dict(address_of("postgresql://h/db").ours)["connect_timeout"] == "10"
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "4")
    assert "connect_timeout" not in conninfo_to_dict(address_of("postgresql://h/db").ours)


def test_of_several_hosts_the_one_that_takes_writes_is_asked_for() -> None:
    assert conninfo_to_dict(address_of("postgresql://h1,h2/db").lent)["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in conninfo_to_dict(address_of("postgresql://h1/db").ours)
    said = "postgresql://h1,h2/db?target_session_attrs=any"
    assert conninfo_to_dict(address_of(said).ours)["target_session_attrs"] == "any"


@pytest.mark.parametrize("given_url", [7, b"sqlite:///x.db", ["sqlite:///x.db"]])
def test_a_url_is_text(given_url: object) -> None:
    with pytest.raises(ConfigError, match="must be text"):
        database_url(given_url)  # type: ignore[arg-type]


def test_space_around_a_url_is_no_part_of_it() -> None:
    assert database_url(" sqlite:///x.db\n") == "sqlite:///x.db"
