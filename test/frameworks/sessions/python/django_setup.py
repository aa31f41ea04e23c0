"""Makes the Django session's tables by Django's migrations, and fills them."""
import datetime

import django_app

django_app.configure()

from django.core.management import call_command  # noqa: E402 (after configure)

call_command("makemigrations", "shop", verbosity=0)
call_command("migrate", verbosity=0)

from shop.models import Customer, Item, Order, Product, Tag  # noqa: E402

start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
tags = Tag.objects.bulk_create(Tag(name="tag%d" % i) for i in range(1, 5))
products = Product.objects.bulk_create(
    Product(sku="SKU-%d" % i, title=["red", "green", "blue"][i % 3] + " thing %d" % i, price="%d.50" % i) for i in range(1, 13)
)
for i, product in enumerate(products):
    product.tags.set([tags[i % 4], tags[(i + 1) % 4]])
customers = Customer.objects.bulk_create(
    Customer(
        name="Customer %d" % i,
        email="user%d@canary.example" % i,
        ssn="%d-45-%d" % (900 + i % 7, 6000 + i),
        card_number="41111111%08d" % i,
        credit_limit="%d.25" % (7770000 + i),
        labels=["l%d" % (i % 3), "all"],
        profile={"language": ["nl", "de"][i % 2], "visits": i, "address": {"city": "City %d" % (i % 5)}},
        active=i % 5 != 0,
        created_at=start + datetime.timedelta(days=i),
    )
    for i in range(1, 41)
)
orders = Order.objects.bulk_create(
    Order(customer=customers[i % 40], state=["new", "paid", "shipped"][i % 3], placed_at=start + datetime.timedelta(hours=5 * i), note="note %d" % i)
    for i in range(120)
)
Item.objects.bulk_create(
    Item(order=order, product=products[(i + line) % 12], amount=1 + line, price="%d.25" % line) for i, order in enumerate(orders) for line in range(3)
)
