"""The URL of a database that Django has: every part as it was, whatever characters it contains."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from segue.contrib.django.addresses import postgres_url
from segue.store.postgres_address import address_of

ODD = "p@ss:w/rd ?&=%#'\"\\ä+"
CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "all": (
        {"NAME": "shop", "USER": "ann", "PASSWORD": "x", "HOST": "db.example.org", "PORT": "5433"},
        {"dbname": "shop", "user": "ann", "password": "x", "host": "db.example.org", "port": "5433"},
    ),
    "odd": (
        {"NAME": ODD, "USER": ODD, "PASSWORD": ODD, "HOST": "localhost", "PORT": 5432},
        {"dbname": ODD, "user": ODD, "password": ODD, "host": "localhost", "port": "5432"},
    ),
    "socket": (
        {"NAME": "shop", "USER": "", "PASSWORD": ODD, "HOST": "/var/run/post gres", "PORT": ""},
        {"dbname": "shop", "password": ODD, "host": "/var/run/post gres"},
    ),
    "several": (
        {"NAME": "shop", "USER": "ann", "HOST": "a,b", "PORT": "1,2"},
        {"dbname": "shop", "user": "ann", "host": "a,b", "port": "1,2"},
    ),
    "IPv6": ({"NAME": "shop", "HOST": "::1"}, {"dbname": "shop", "host": "::1"}),
    "nothing": ({"NAME": ""}, {"dbname": "postgres"}),
    "service": ({"NAME": "", "OPTIONS": {"service": "my shop"}}, {"service": "my shop"}),
    "options": (
        {
            "NAME": "shop",
            "OPTIONS": {
                "sslmode": "require", "options": "-c search_path=a,b", "assume_role": "the owner", "pool": True,
                "isolation_level": 2, "connect_timeout": 3,
            },
        },
        {
            "dbname": "shop", "sslmode": "require", "connect_timeout": "3",
            "options": "-c search_path=a,b -c role=the\\ owner",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_libpq_reads_what_django_says(case: str) -> None:
    settings, wanted = CASES[case]
    url = postgres_url(settings)
    assert conninfo_to_dict(url) == wanted
    assert not address_of(url).has_doubtful_password
