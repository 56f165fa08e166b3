"""The suite: `pytest`. It needs no worker, and a day passes in milliseconds."""

import pytest
from shop import Order, charge, place


def test_an_order_is_shipped_when_it_is_approved(workbench, session, make_order):
    workbench.stub(charge, "receipt 7")
    order, run = make_order(30)
    workbench.work()
    assert order.status == "new"
    run.send("approval", "Ann")
    workbench.work()
    session.refresh(order)
    assert (order.status, run.result()) == ("shipped", "30 with receipt 7")


def test_nobody_approves_for_a_day(workbench, session, make_order):
    workbench.stub(charge, "receipt 7")
    order, run = make_order()
    workbench.advance(hours=25)
    session.refresh(order)
    assert order.status == "given up"
    workbench.check(run, "succeeded", steps={"approval": "failed", "give_up": "succeeded", "ship": "skipped"})


def test_the_bank_is_away_for_a_while(workbench, session, make_order):
    workbench.stub(charge, "receipt 7")
    workbench.fail(charge, ConnectionError("away"), times=2)
    _, run = make_order()
    workbench.work()
    workbench.check(run, "running", steps={"charge": "ready"})
    workbench.advance(hours=1)
    workbench.check(run, "running", steps={"charge": "succeeded"})


def test_an_order_that_is_refused_has_no_run(workbench, session):
    with pytest.raises(ValueError, match="too much"):
        place(workbench.segue, session, 2000)
    session.rollback()
    assert (session.query(Order).count(), workbench.segue.runs()) == (0, [])


def test_a_rollback_takes_the_run_along(workbench, session):
    place(workbench.segue, session, 30)
    session.rollback()
    assert workbench.segue.runs() == []
