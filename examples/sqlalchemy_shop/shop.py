"""Orders on SQLAlchemy: an order and its run are committed together, and the steps of the run change the order."""

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from segue import Run, Segue, task, wait_for, workflow

sessions = sessionmaker()  # the program that starts binds it: sessions.configure(bind=engine)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    status: Mapped[str] = mapped_column(default="new")


@task(retries=3, retry_delay=600)
def charge(order_id: int) -> str:
    raise NotImplementedError("this would call the bank")


@task
def ship(order_id: int, receipt: str) -> str:
    with sessions.begin() as session:
        order = session.get_one(Order, order_id)
        order.status = "shipped"
        return f"{order.amount} with {receipt}"


@task
def give_up(order_id: int) -> None:
    with sessions.begin() as session:
        session.get_one(Order, order_id).status = "given up"


@workflow
def fulfil(order_id: int) -> str:
    receipt = charge(order_id)
    approval = wait_for.options(after=receipt)("approval", timeout=86_400)
    give_up.options(after=approval, rule="any_failed")(order_id)
    return ship.options(after=approval)(order_id, receipt)


def place(segue: Segue, session: Session, amount: int) -> tuple[Order, Run[str]]:
    """Add an order and start its run, in the transaction of the session."""
    order = Order(amount=amount)
    session.add(order)
    session.flush()  # which gives it its id
    if amount > 1000:
        raise ValueError("too much")
    return order, segue.start(fulfil, order.id, key=f"order-{order.id}", connection=session)
