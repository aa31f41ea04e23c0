"""Makes the SQLAlchemy session's tables by create_all, and fills them."""
import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy_models import Base, Company, Customer, Item, Order, Party, Product, Tag, engine

start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
db = engine()
Base.metadata.create_all(db)
with Session(db) as session, session.begin():
    session.execute(text("CREATE VIEW customer_names AS SELECT id, name, email FROM customers"))
    tags = [Tag(name="tag%d" % i) for i in range(1, 5)]
    products = [
        Product(id=i, sku="SKU-%d" % i, title="thing %d" % i, price=i + 0.5, attributes={"weight": i}, tags=[tags[i % 4], tags[(i + 1) % 4]]) for i in range(1, 13)
    ]
    session.add_all(products)
    for i in range(1, 41):
        customer = Customer(
            name="Customer %d" % i, email="user%d@canary.example" % i, ssn="%d-45-%d" % (900 + i % 7, 6000 + i), card_number="41111111%08d" % i,
            credit_limit="%d.25" % (7770000 + i), labels=["l%d" % (i % 3), "all"], active=i % 5 != 0, created_at=start + datetime.timedelta(days=i),
            profile={"language": ["nl", "de"][i % 2], "visits": i, "address": {"city": "City %d" % (i % 5)}},
        )
        for n in range(3):
            customer.orders.append(Order(
                state=["new", "paid", "shipped"][(i + n) % 3], placed_at=start + datetime.timedelta(hours=5 * (3 * i + n)), note="note %d" % n,
                items=[Item(line=line, product=products[(i + line) % 12], amount=line, price=line + 0.25) for line in range(1, 4)],
            ))
        session.add(customer)
        session.flush()
    session.add(Company(name="Holding", number="1", children=[Company(name="Daughter", number="2"), Party(name="Someone")]))
    session.execute(text("SELECT setval('products_id_seq', 100)"))
