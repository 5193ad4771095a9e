"""Orders."""

# ruff: noqa: RUF012

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make the table."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.CharField(max_length=20)),
                ("email", models.EmailField(default="ann@example.com", max_length=254)),
                ("shipped", models.BooleanField(default=False)),
            ],
        ),
    ]
