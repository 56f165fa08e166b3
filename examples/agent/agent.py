"""An agent: a model chooses the next tool until it has an answer. Whatever breaks on the way, nothing is done twice.

The model and the tools are stubs, so the example needs no key and no network. In real work `ask` calls your model, and
the tools call your services. Run it with `python agent.py`, or with a worker: see README.md.
"""

from __future__ import annotations

from typing import Any

from segue import Segue, checkpoint, current, task, wait_for

segue = Segue("sqlite:///agent.db")

Message = dict[str, Any]
bookings: list[str] = []  # of the other company: what it has really booked


def ask(messages: list[Message]) -> Message:
    """The model. This one has a script: the more messages there are, the further it is."""
    script: list[Message] = [
        {"tool": "search", "arguments": {"to": "Lisbon"}},
        {"tool": "weather", "arguments": {"city": "Lisbon"}},
        {"tool": "book", "arguments": {"flight": "TP 541"}},
        {"answer": "You fly to Lisbon with TP 541, and it will be sunny."},
    ]
    return script[len(messages) // 2]


def search(to: str) -> list[str]:
    """The flights to a city."""
    return ["TP 541", "LH 1172"]


def weather(city: str) -> str:
    """The weather in a city."""
    return "sunny"


def book(flight: str) -> str:
    """Book a flight: this costs money, so it must happen once."""
    bookings.append(flight)
    return f"booked {flight}"


TOOLS = {"search": search, "weather": weather, "book": book}
NEEDS_APPROVAL = {"book"}
MOST_ROUNDS = 20


@task(retries=3, retry_delay=0)
def travel(wish: str) -> str:
    """Let the model and the tools talk until there is an answer."""
    messages: list[Message] = [{"user": wish}]
    for number in range(MOST_ROUNDS):
        reply = checkpoint(f"ask {number}", ask, messages)
        if "answer" in reply:
            return reply["answer"]
        messages += [reply, {"result": use(number, reply["tool"], reply["arguments"])}]
        if current().failures == 0 and reply["tool"] == "book":
            raise ConnectionError("the network broke right after the booking")
    raise RuntimeError(f"the model has no answer after {MOST_ROUNDS} rounds")


def use(number: int, tool: str, arguments: dict[str, Any]) -> Any:
    """Use a tool once, if a person allows it where that is needed."""
    if tool in NEEDS_APPROVAL and not wait_for(f"allow {tool}")["ok"]:
        return f"{tool} was not allowed"
    return checkpoint(f"{tool} {number}", TOOLS[tool], **arguments)


def main() -> None:
    """Work on one trip in this process; the approval is sent before it is needed."""
    run = segue.start(travel, "Somewhere warm, please", key="trip 1")
    if run.is_new:
        run.send("allow book", {"ok": True})
    print(segue.run(travel, "Somewhere warm, please", key="trip 1"))
    print("bookings:", bookings)
    for record in run.step(0).checkpoints():
        print(f"{record.number} {record.kind:10} {record.name:12} {record.value}")


if __name__ == "__main__":
    main()
