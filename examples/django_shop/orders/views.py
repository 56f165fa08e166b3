"""Views that start runs."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from orders.models import Order
from orders.workflows import fulfil
from segue.contrib.django import segue


@require_POST
@transaction.atomic
def place(request: HttpRequest) -> JsonResponse:
    """The order and its run are committed together, or neither is."""
    order = Order.objects.create(amount=int(request.POST["amount"]))
    order.run_id = segue.start(fulfil, order.pk, key=f"order-{order.pk}").id
    order.save()
    if order.amount > 1000:
        raise ValueError("this amount is too much")
    return JsonResponse({"order": order.pk, "run": order.run_id})


def look(request: HttpRequest, order_id: int) -> JsonResponse:
    """How far it is."""
    order = get_object_or_404(Order, pk=order_id)
    return JsonResponse({"status": order.status, "run": segue.get(order.run_id).status})
