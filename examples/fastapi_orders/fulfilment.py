"""What happens to an order after the request is answered. Workers import this module; it knows nothing of the API."""

from segue import progress, task, wait_for, workflow


@task(retries=3)
def pack(item: str) -> str:
    for layer in range(1, 4):
        progress(layer, 3, f"layer {layer} around the {item}")
    return f"packed {item}"


@task
def ship(parcels: list[str], approval: dict) -> str:
    return f"{len(parcels)} parcels left, approved by {approval['by']}"


@workflow
def fulfil(order_id: int, items: list[str]):
    approval = wait_for("approved", timeout=86_400)
    return ship(pack.map(items), approval)
