"""An order."""

from django.db import models


class Order(models.Model):
    """Something that a customer wants."""

    amount = models.IntegerField()
    status = models.CharField(max_length=20, default="new")
    receipt = models.CharField(max_length=100, blank=True)
    run_id = models.CharField(max_length=36, blank=True)

    def __str__(self) -> str:
        return f"order {self.pk}"
