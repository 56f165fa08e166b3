"""Orders over HTTP: an order and its run are committed together, and clients poll or follow the run.

Run it with `uvicorn api:app`. SHOP_DATABASE is the address of the shop's and Segue's database, in SQLAlchemy's form.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from fulfilment import fulfil
from sqlalchemy import JSON
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from segue import AsyncRun, AsyncSegue
from segue.client.views import Reason, RunInfo, RunProgress
from segue.errors import RunFailedError, RunNotFoundError, RunStateError


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[str]] = mapped_column(JSON)
    run_id: Mapped[str | None]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ.get("SHOP_DATABASE", "sqlite+aiosqlite:///shop.db")
    engine = create_async_engine(url)
    async with AsyncSegue(url) as segue:  # opens no connection before the first request
        await segue.upgrade()
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        app.state.segue, app.state.sessions = segue, async_sessionmaker(engine)
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def the_segue(request: Request) -> AsyncSegue:
    return request.app.state.segue


async def a_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session, session.begin():  # commits, or rolls back after an error
        yield session


SegueOf = Annotated[AsyncSegue, Depends(the_segue)]
Session = Annotated[AsyncSession, Depends(a_session, scope="function")]  # ends before the answer is sent


async def a_run(run_id: str, segue: SegueOf) -> AsyncRun:
    return await segue.get(run_id)


RunOf = Annotated[AsyncRun, Depends(a_run)]


@app.exception_handler(RunNotFoundError)
@app.exception_handler(RunStateError)
async def say_why(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404 if isinstance(error, RunNotFoundError) else 409)


@app.post("/orders", status_code=202)
async def place(items: Annotated[list[str], Body()], session: Session, segue: SegueOf) -> dict[str, str | int]:
    order = Order(items=items)
    session.add(order)
    await session.flush()
    run = await segue.start(fulfil, order.id, items, key=f"order-{order.id}", connection=session)
    if "unicorn" in items:
        raise RunStateError("There are no unicorns.")  # rolls back: there is no order and no run
    order.run_id = run.id
    return {"order": order.id, "run": run.id}


@app.get("/runs/{run_id}")
async def show(run: RunOf) -> RunInfo:
    return await run.info()


@app.get("/runs/{run_id}/reasons")
async def explain(run: RunOf) -> list[Reason]:
    return await run.explain()


@app.get("/runs/{run_id}/progress")
async def progress(run: RunOf) -> RunProgress:
    return await run.progress()


@app.post("/runs/{run_id}/approval")
async def approve(run: RunOf, by: Annotated[str, Body(embed=True)]) -> None:
    await run.send("approved", {"by": by})


@app.post("/runs/{run_id}/cancellation")
async def cancel(run: RunOf) -> str:
    return await run.cancel(actor="the API")


@app.get("/runs/{run_id}/events")
async def events(run: RunOf) -> StreamingResponse:
    """Server-Sent Events: `progress` after each change, then `result` or `failure`."""

    async def stream() -> AsyncIterator[str]:
        async for progress in run.follow():
            yield event("progress", progress.to_dict())
        try:
            yield event("result", await run.result())
        except RunFailedError as error:
            yield event("failure", str(error))

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
