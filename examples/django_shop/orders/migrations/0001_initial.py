"""The table of orders."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes it."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.IntegerField()),
                ("status", models.CharField(default="new", max_length=20)),
                ("receipt", models.CharField(blank=True, max_length=100)),
                ("run_id", models.CharField(blank=True, max_length=36)),
            ],
        )
    ]
