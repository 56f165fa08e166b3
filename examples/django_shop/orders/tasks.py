"""The steps of an order. Workers find this module by its name, in every app."""

from orders.models import Order
from segue import task


@task(retries=3, retry_delay=60)
def charge(order_id: int) -> str:
    """Ask the bank for the money."""
    order = Order.objects.get(pk=order_id)
    return f"{order.amount} were paid for order {order.pk}"


@task
async def ship(order_id: int, receipt: str) -> str:
    """Send the goods. Django's queries of coroutines work as well."""
    order = await Order.objects.aget(pk=order_id)
    order.status, order.receipt = "shipped", receipt
    await order.asave()
    return order.status


@task
def apologize(order_id: int) -> None:
    """Tell the customer that nothing came of it."""
    Order.objects.filter(pk=order_id).update(status="failed")


@task
def count_orders() -> int:
    """How many orders there are."""
    return Order.objects.count()
