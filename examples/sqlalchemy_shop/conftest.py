"""Fixtures: the tables of the shop beside those of Segue, sessions, and a factory of orders."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from shop import Base, Order, place, sessions
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from segue import Run
from segue.testing import Workbench


@pytest.fixture
def segue_database(tmp_path) -> Iterator[str]:
    """An empty database for each test: a SQLite file, or one that is made on the server that SHOP_SERVER names."""
    server = os.environ.get("SHOP_SERVER")
    if server is None:
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    address, name = make_url(server).set(drivername="postgresql+psycopg"), f"shop_{uuid.uuid4().hex}"
    admin = create_engine(address, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def session(workbench: Workbench) -> Iterator[Session]:
    """A session of the test's database; the tasks use the same engine."""
    engine = create_engine(workbench.segue.url.replace("postgresql:", "postgresql+psycopg:"))
    Base.metadata.create_all(engine)
    sessions.configure(bind=engine)
    with sessions() as session:
        yield session
    engine.dispose()


@pytest.fixture
def make_order(workbench: Workbench, session: Session) -> Callable[..., tuple[Order, Run[str]]]:
    """Makes an order with its run, both committed."""

    def make(amount: int = 30) -> tuple[Order, Run[str]]:
        made = place(workbench.segue, session, amount)
        session.commit()
        return made

    return make
