from django.contrib.postgres.fields import ArrayField
from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=100, db_index=True)
    email = models.EmailField(unique=True)
    ssn = models.CharField(max_length=20, null=True)
    card_number = models.CharField(max_length=19, null=True)
    credit_limit = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    labels = ArrayField(models.CharField(max_length=20), default=list)
    profile = models.JSONField(default=dict)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]


class Tag(models.Model):
    name = models.CharField(max_length=30, unique=True)


class Product(models.Model):
    sku = models.CharField(max_length=30, unique=True)
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    tags = models.ManyToManyField(Tag, related_name="products")


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    state = models.CharField(max_length=10, default="new", choices=[("new", "New"), ("paid", "Paid"), ("shipped", "Shipped")])
    placed_at = models.DateTimeField()
    note = models.TextField(blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["customer", "placed_at"])]


class Item(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    amount = models.PositiveIntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        unique_together = [("order", "product")]
