"""What happens to an order."""

from orders.tasks import charge, ship
from segue import workflow


@workflow
def fulfil(order_id: int) -> str:
    """Charge the customer, and then ship."""
    return ship(order_id, charge(order_id))
