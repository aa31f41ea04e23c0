"""The tables of the SQLAlchemy session, which create_all makes."""
import os

from sqlalchemy import (
    JSON, Boolean, CheckConstraint, Column, DateTime, Enum, ForeignKey, Index, Integer, Numeric, String, Table, Text, create_engine, func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import URL
from sqlalchemy.orm import backref, declarative_base, relationship

Base = declarative_base()


def engine(**options):
    url = URL.create("postgresql+psycopg2", os.environ["PGUSER"], os.environ["PGPASSWORD"] or None, os.environ["PGHOST"], int(os.environ["PGPORT"]), os.environ["PGDATABASE"])
    return create_engine(url, connect_args={"sslmode": "disable"}, **options)


product_tags = Table("product_tags", Base.metadata, Column("product_id", ForeignKey("products.id"), primary_key=True), Column("tag_id", ForeignKey("tags.id"), primary_key=True))


class Customer(Base):
    __tablename__ = "customers"
    id = Column(Integer, primary_key=True)
    name = Column(String(100), nullable=False, index=True, comment="as on the letter box")
    email = Column(String(120), nullable=False, unique=True)
    ssn = Column(String(20))
    card_number = Column(String(19))
    credit_limit = Column(Numeric(12, 2))
    labels = Column(ARRAY(String), nullable=False, default=list)
    profile = Column(JSONB, nullable=False, default=dict)
    active = Column(Boolean, nullable=False, default=True)
    created_at = Column(DateTime(timezone=True), nullable=False, server_default=func.now())
    orders = relationship("Order", back_populates="customer", order_by="Order.id", cascade="all, delete-orphan")


class Order(Base):
    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)
    customer_id = Column(ForeignKey("customers.id", ondelete="CASCADE"), nullable=False)
    state = Column(Enum("new", "paid", "shipped", name="order_state"), nullable=False, default="new")
    placed_at = Column(DateTime(timezone=True), nullable=False)
    note = Column(Text)
    version = Column(Integer, nullable=False)
    customer = relationship("Customer", back_populates="orders")
    items = relationship("Item", backref=backref("order"), order_by="Item.line", cascade="all, delete-orphan")
    __mapper_args__ = {"version_id_col": version}
    __table_args__ = (Index("orders_customer_placed", "customer_id", "placed_at"),)


class Item(Base):
    __tablename__ = "items"
    order_id = Column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    line = Column(Integer, primary_key=True)
    product_id = Column(ForeignKey("products.id"), nullable=False)
    amount = Column(Integer, CheckConstraint("amount > 0"), nullable=False)
    price = Column(Numeric(10, 2), nullable=False)
    product = relationship("Product")


class Product(Base):
    __tablename__ = "products"
    id = Column(Integer, primary_key=True)
    sku = Column(String(30), nullable=False, unique=True)
    title = Column(String(100), nullable=False)
    price = Column(Numeric(10, 2), nullable=False)
    attributes = Column(JSON)
    tags = relationship("Tag", secondary=product_tags, backref="products", order_by="Tag.id")


class Tag(Base):
    __tablename__ = "tags"
    id = Column(Integer, primary_key=True)
    name = Column(String(30), nullable=False, unique=True)


class Party(Base):
    """A hierarchy in joined tables, as applications like to have them."""
    __tablename__ = "parties"
    id = Column(Integer, primary_key=True)
    kind = Column(String(20), nullable=False)
    parent_id = Column(ForeignKey("parties.id"))
    name = Column(String(50), nullable=False)
    children = relationship("Party", backref=backref("parent", remote_side=[id]))
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "party"}


class Company(Party):
    __tablename__ = "companies"
    id = Column(ForeignKey("parties.id"), primary_key=True)
    number = Column(String(20))
    __mapper_args__ = {"polymorphic_identity": "company"}
