"""A working day of an application with SQLAlchemy: core, ORM and reflection."""
import datetime

from sqlalchemy import (
    Column, Integer, MetaData, String, Table, alias, and_, bindparam, case, cast, delete, desc, distinct, exists, extract, func, insert, inspect, lateral, literal,
    literal_column, not_, or_, select, text, true, tuple_, union, union_all, update, values,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array, insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import (
    Session, aliased, contains_eager, defer, joinedload, lazyload, load_only, raiseload, selectin_polymorphic, selectinload, sessionmaker, subqueryload, undefer,
    with_loader_criteria,
)
from sqlalchemy_models import Base, Company, Customer, Item, Order, Party, Product, Tag, engine
from steps import step

db = engine()
C, O, P, I = Customer.__table__, Order.__table__, Product.__table__, Item.__table__
WHOLE = ["id", "name", "email", "ssn", "card_number", "credit_limit", "labels", "profile", "active", "created_at"]


def rows(statement, parameters=None):
    with db.connect() as connection:
        return [tuple(row) for row in connection.execute(statement, parameters or {})]


def written(statement, parameters=None):
    """Runs a statement in a transaction of its own and returns what it gave, or how many rows it met."""
    with db.begin() as connection:
        result = connection.execute(statement, parameters or {})
        return [tuple(row) for row in result] if result.returns_rows else result.rowcount


def orm(work):
    with Session(db) as session:
        return work(session)


def fields(one):
    return {name: getattr(one, name) for name in WHOLE}


def core():
    step("select", lambda: rows(select(C).order_by(C.c.id)))
    step("select columns", lambda: rows(select(C.c.id, C.c.email, C.c.card_number).where(C.c.id < 4).order_by(C.c.id)))
    step("where, and, or, not", lambda: rows(select(C.c.id).where(or_(C.c.id == 3, and_(C.c.active, not_(C.c.id > 4)))).order_by(C.c.id)))
    step("where on a tagged column", lambda: rows(select(C.c.id, C.c.ssn).where(C.c.email == "user2@canary.example")))
    step("in_, between, like, ilike, is", lambda: rows(select(C.c.id).where(C.c.id.in_([1, 2, 3, 44]), C.c.id.between(1, 9), C.c.name.ilike("cust%"), C.c.ssn.is_not(None)).order_by(C.c.id)))
    step("tuple in", lambda: rows(select(I.c.order_id, I.c.amount).where(tuple_(I.c.order_id, I.c.line).in_([(1, 1), (2, 3)])).order_by(I.c.order_id)))
    step("join", lambda: rows(select(O.c.id, C.c.name, C.c.email).join_from(O, C).where(O.c.id < 6).order_by(O.c.id)))
    step("outer join, coalesce", lambda: rows(select(C.c.id, func.coalesce(O.c.note, "-")).outerjoin(O, and_(O.c.customer_id == C.c.id, O.c.state == "paid")).order_by(C.c.id, O.c.id).limit(9)))
    step("alias, self join", lambda: self_join())
    step("group by, having", lambda: rows(select(O.c.state, func.count(), func.max(O.c.placed_at)).group_by(O.c.state).having(func.count() > 3).order_by(O.c.state)))
    step("sum of a tagged number", lambda: rows(select(func.sum(C.c.credit_limit), func.count(C.c.ssn))), masked=[["0", 40]])
    step("functions of a tagged column", lambda: rows(select(C.c.id, func.upper(C.c.email), func.lower(C.c.ssn)).order_by(C.c.id).limit(3)))
    step("concatenation with a tagged column", lambda: rows(select(C.c.name + " <" + C.c.email + ">").order_by(C.c.id).limit(3)))
    step("case, cast, extract", lambda: rows(select(P.c.id, case((P.c.price > 6, "dear"), else_="cheap"), cast(P.c.price, String)).order_by(P.c.id)) + rows(select(distinct(extract("month", O.c.placed_at)))))
    step("case over a tagged column", lambda: rows(select(C.c.id, case((C.c.id < 3, C.c.ssn), else_="other")).order_by(C.c.id).limit(4)), masked=[[1, "*****"], [2, "*****"], [3, "*****"], [4, "*****"]])
    step("scalar subquery", lambda: rows(select(C.c.email, select(func.count()).where(O.c.customer_id == C.c.id).scalar_subquery()).order_by(C.c.id).limit(4)))
    step("exists", lambda: rows(select(C.c.id).where(exists().where(O.c.customer_id == C.c.id, O.c.state == "new")).order_by(C.c.id)))
    step("lateral", lambda: laterals())
    step("CTE", lambda: ctes())
    step("recursive CTE", lambda: recursion())
    step("CTE that writes", lambda: written(select(O.update().where(O.c.id == 1).values(note="cte", version=O.c.version + 1).returning(O.c.id, O.c.note).cte("changed"))))
    step("union, union all, except, intersect", lambda: sorted(rows(union(select(C.c.name).where(C.c.id < 4), select(P.c.title).where(P.c.id < 4)))) + sorted(rows(select(C.c.id).where(C.c.id < 9).except_(select(C.c.id).where(C.c.id > 2)))))
    step("union all with a tagged column", lambda: sorted(rows(union_all(select(C.c.email).where(C.c.id < 3), select(C.c.ssn).where(C.c.id == 1)))))
    step("window", lambda: rows(select(O.c.id, func.row_number().over(partition_by=O.c.customer_id, order_by=O.c.placed_at.desc()), func.lag(O.c.id).over(order_by=O.c.id)).order_by(O.c.id).limit(9)))
    step("first_value of a tagged column", lambda: rows(select(C.c.id, func.first_value(C.c.email).over(order_by=C.c.id)).order_by(C.c.id).limit(3)))
    step("array_agg, string_agg, json", lambda: rows(select(O.c.customer_id, func.array_agg(aggregate_order_by(O.c.id, O.c.id)), func.string_agg(O.c.note, aggregate_order_by(literal(","), O.c.id))).group_by(O.c.customer_id).order_by(O.c.customer_id).limit(3)))
    step("array_agg of a tagged column", lambda: rows(select(func.array_agg(aggregate_order_by(C.c.email, C.c.id))).where(C.c.id < 4)))
    step("json_build_object", lambda: rows(select(func.json_build_object("id", C.c.id, "email", C.c.email, "name", C.c.name)).order_by(C.c.id).limit(3)))
    step("row_to_json", lambda: rows(text("SELECT row_to_json(c) FROM (SELECT id, name, email FROM customers WHERE id < 4 ORDER BY id) c")))
    step("filter, within group", lambda: rows(select(func.count().filter(O.c.state == "paid"), func.percentile_cont(0.5).within_group(O.c.id))))
    step("JSONB", lambda: rows(select(C.c.profile["language"].astext, C.c.profile[("address", "city")].astext, C.c.profile["visits"].astext.cast(Integer)).where(C.c.profile.contains({"language": "de"})).order_by(C.c.id).limit(4)))
    step("ARRAY", lambda: rows(select(C.c.id, C.c.labels[1]).where(C.c.labels.contains(["l1"]), C.c.labels.any("all")).order_by(C.c.id).limit(4)) + rows(select(func.unnest(C.c.labels)).where(C.c.id == 1)))
    step("generate_series, values", lambda: rows(select(func.generate_series(1, 4).column_valued("n"))) + rows(select(values(literal_column("a", Integer).label("a") and Column("a", Integer), Column("b", String), name="v").data([(1, "x"), (2, "y")]))))
    step("distinct on, limit, offset, fetch", lambda: rows(select(O.c.customer_id, O.c.id).distinct(O.c.customer_id).order_by(O.c.customer_id, O.c.id.desc()).limit(4).offset(2)))
    step("for update", lambda: rows(select(C.c.id, C.c.email).where(C.c.id == 1).with_for_update()) + rows(select(C.c.id).where(C.c.id == 2).with_for_update(skip_locked=True, of=C)))
    step("for share, nowait", lambda: rows(select(C.c.id).where(C.c.id == 2).with_for_update(read=True, nowait=True)))
    step("text with parameters", lambda: rows(text("SELECT id, email FROM customers WHERE id = :id").bindparams(id=3)))
    step("text of the view", lambda: rows(text("SELECT * FROM customer_names ORDER BY id LIMIT 3")))
    step("expanding parameters, executed again", lambda: [rows(select(C.c.name).where(C.c.id.in_(bindparam("ids", expanding=True))).order_by(C.c.id), {"ids": ids}) for ids in ([1], [2, 3], [])])
    step("an error of the statement", lambda: rows(text("SELECT nothing FROM customers")))
    step("an error of a value", lambda: rows(text("SELECT id / 0 FROM products")))


def self_join():
    a, b = alias(C, "a"), alias(C, "b")
    return rows(select(a.c.id, b.c.email).join_from(a, b, a.c.id == b.c.id - 1).order_by(a.c.id).limit(3))


def laterals():
    newest = select(O.c.id, O.c.note).where(O.c.customer_id == C.c.id).order_by(O.c.id.desc()).limit(1).lateral("newest")
    return rows(select(C.c.email, newest.c.id, newest.c.note).join(newest, true()).order_by(C.c.id).limit(4))


def ctes():
    busy = select(O.c.customer_id, func.count().label("n")).group_by(O.c.customer_id).cte("busy")
    return rows(select(C.c.email, busy.c.n).join(busy, busy.c.customer_id == C.c.id).order_by(C.c.id).limit(4))


def recursion():
    party = Party.__table__
    tree = select(party.c.id, party.c.name, literal(0).label("depth")).where(party.c.parent_id.is_(None)).cte("tree", recursive=True)
    tree = tree.union_all(select(party.c.id, party.c.name, tree.c.depth + 1).join(tree, party.c.parent_id == tree.c.id))
    return rows(select(tree).order_by(tree.c.depth, tree.c.id))


def core_writing():
    step("insert", lambda: written(insert(P).values(sku="A", title="a", price=1)))
    step("insert returning", lambda: written(insert(P).values(sku="B", title="b", price=2).returning(P.c.id, P.c.title)))
    step("insert returning a tagged column", lambda: written(insert(C).values(name="N", email="user70@canary.example", ssn="900-45-6070").returning(C.c.name, C.c.email)))
    step("insert many", lambda: written(insert(P), [dict(sku="M%d" % i, title="m", price=i) for i in range(250)]))
    step("insert from select", lambda: written(insert(Tag.__table__).from_select(["name"], select(P.c.sku).where(P.c.id < 4))))
    step("upsert, do nothing", lambda: written(upsert(P).values(sku="A", title="again", price=1).on_conflict_do_nothing(index_elements=["sku"])))
    step("upsert, do update", lambda: written(upsert(P).values(sku="A", title="again", price=1).on_conflict_do_update(index_elements=["sku"], set_=dict(title="updated")).returning(P.c.sku, P.c.title)))
    step("upsert of a customer", lambda: written(upsert(C).values(name="Renamed", email="user1@canary.example").on_conflict_do_update(constraint="customers_email_key", set_=dict(name="Renamed")).returning(C.c.id, C.c.name, C.c.email)))
    step("update returning", lambda: written(update(O).where(O.c.id == 2).values(note=O.c.note + "!").returning(O.c.id, O.c.note)))
    step("update from", lambda: written(update(O).where(O.c.customer_id == C.c.id, C.c.name == "Customer 3").values(note=C.c.name)))
    step("update many", lambda: written(update(P).where(P.c.sku == bindparam("k")).values(title=bindparam("t")), [dict(k="A", t="1"), dict(k="B", t="2")]))
    step("delete using", lambda: written(delete(I).where(I.c.order_id == O.c.id, O.c.customer_id == 30)))
    step("delete returning", lambda: written(delete(P).where(P.c.sku == "B").returning(P.c.sku)))
    step("a duplicate of a tagged value", lambda: duplicate(), masked="23505")
    step("savepoints", lambda: nested())
    step("isolation levels", lambda: isolation())
    step("two phases", two_phases)
    step("server-side cursor, yield_per", lambda: streamed())


def duplicate():
    try:
        written(insert(C).values(name="N", email="user2@canary.example"))
    except IntegrityError as error:
        return error.orig.pgcode


def nested():
    with db.connect() as connection, connection.begin() as outer:
        connection.execute(update(O).where(O.c.id == 9).values(note="outer"))
        inner = connection.begin_nested()
        connection.execute(update(O).where(O.c.id == 9).values(note="inner"))
        inner.rollback()
        note = connection.execute(select(O.c.note).where(O.c.id == 9)).scalar()
        outer.rollback()
        return [note, connection.execute(select(O.c.note).where(O.c.id == 9)).scalar()]


def isolation():
    found = []
    for level in ("SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"):
        with db.connect().execution_options(isolation_level=level) as connection:
            found.append([connection.get_isolation_level(), connection.execute(select(func.count()).select_from(P)).scalar()])
    return found


def two_phases():
    with db.connect() as connection:
        transaction = connection.begin_twophase("tidewaiter")
        connection.execute(update(O).where(O.c.id == 9).values(note="two"))
        transaction.rollback()
        return "rolled back"


def streamed():
    with db.connect().execution_options(stream_results=True, max_row_buffer=10) as connection:
        return [list(part) for part in connection.execute(select(C.c.id, C.c.email).order_by(C.c.id)).partitions(15)]


def mapped():
    step("get", lambda: orm(lambda s: fields(s.get(Customer, 1))))
    step("query, filter_by, first", lambda: orm(lambda s: fields(s.query(Customer).filter_by(email="user2@canary.example").first())))
    step("scalars", lambda: orm(lambda s: [c.email for c in s.scalars(select(Customer).order_by(Customer.id).limit(5))]))
    step("query count, exists", lambda: orm(lambda s: [s.query(Customer).filter(Customer.active).count(), s.query(s.query(Order).filter_by(state="new").exists()).scalar()]))
    step("lazy loading", lambda: orm(lambda s: [[c.email, [o.note for o in c.orders]] for c in s.scalars(select(Customer).where(Customer.id < 3).order_by(Customer.id))]))
    for name, how in dict(lazyload=lazyload, joinedload=joinedload, selectinload=selectinload, subqueryload=subqueryload).items():
        step(name, lambda how=how: orm(lambda s: loaded(s, how)))
    step("joinedload of the parent", lambda: orm(lambda s: [[o.id, o.customer.email] for o in s.scalars(select(Order).options(joinedload(Order.customer, innerjoin=True)).order_by(Order.id).limit(4))]))
    step("contains_eager", lambda: orm(lambda s: [[c.email, [o.id for o in c.orders]] for c in s.query(Customer).join(Customer.orders).filter(Order.state == "paid").options(contains_eager(Customer.orders)).order_by(Customer.id, Order.id).populate_existing()][:3]))
    step("load_only, defer, undefer", lambda: orm(lambda s: [[c.name, c.ssn] for c in s.scalars(select(Customer).options(load_only("name")).order_by(Customer.id).limit(2))] + [c.email for c in s.scalars(select(Customer).options(defer("ssn"), undefer("email")).where(Customer.id == 3))]))
    step("raiseload", lambda: orm(lambda s: [c.email for c in s.scalars(select(Customer).options(raiseload("*")).where(Customer.id < 3).order_by(Customer.id))]))
    step("many to many", lambda: orm(lambda s: [[p.sku, [t.name for t in p.tags]] for p in s.scalars(select(Product).options(selectinload(Product.tags)).where(Product.id < 5).order_by(Product.id))]))
    step("any, has", lambda: orm(lambda s: [s.scalars(select(Customer.id).where(Customer.orders.any(Order.state == "shipped")).order_by(Customer.id)).all(), s.scalars(select(Order.id).where(Order.customer.has(Customer.name == "Customer 2")).order_by(Order.id)).all()]))
    step("aliased", lambda: orm(lambda s: aliases(s)))
    step("columns and entities", lambda: orm(lambda s: [[o.id, mail] for o, mail in s.execute(select(Order, Customer.email).join(Order.customer).order_by(Order.id).limit(3))]))
    step("polymorphic", lambda: orm(lambda s: [[type(p).__name__, p.name, getattr(p, "number", None)] for p in s.scalars(select(Party).options(selectin_polymorphic(Party, [Company])).order_by(Party.id))]))
    step("with_loader_criteria", lambda: orm(lambda s: [[c.id, len(c.orders)] for c in s.scalars(select(Customer).options(selectinload(Customer.orders), with_loader_criteria(Order, Order.state == "new")).order_by(Customer.id).limit(4))]))
    step("yield_per", lambda: orm(lambda s: [c.email for c in s.scalars(select(Customer).order_by(Customer.id).execution_options(yield_per=7))]))
    step("from_statement", lambda: orm(lambda s: [c.email for c in s.scalars(select(Customer).from_statement(text("SELECT * FROM customers WHERE id < 4 ORDER BY id")))]))
    step("pagination", lambda: orm(lambda s: [o.id for o in s.query(Order).order_by(desc(Order.placed_at), Order.id)[20:30]]))


def loaded(s, how):
    found = s.scalars(select(Customer).options(how(Customer.orders).options(how(Order.items))).where(Customer.id < 4).order_by(Customer.id)).unique()
    return [[c.email, c.card_number, [[o.state, [i.amount for i in o.items]] for o in c.orders]] for c in found]


def aliases(s):
    other = aliased(Customer)
    return [list(row) for row in s.execute(select(Customer.email, other.email).join(other, other.id == Customer.id + 1).order_by(Customer.id).limit(3))]


def mapped_writing():
    now = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
    step("unit of work", lambda: orm(lambda s: unit(s, now)))
    step("a change writes only what changed", lambda: orm(change))
    step("version counter", lambda: orm(versioned))
    step("merge", lambda: orm(lambda s: [s.merge(Product(id=2, title="merged")).title, s.commit(), s.get(Product, 2).sku][::2]))
    step("bulk_insert_mappings", lambda: orm(lambda s: [s.bulk_insert_mappings(Tag, [dict(name="bulk%d" % i) for i in range(20)]), s.commit(), s.query(Tag).filter(Tag.name.like("bulk%")).count()][2]))
    step("bulk_save_objects", lambda: orm(lambda s: [s.bulk_save_objects([Tag(name="obj%d" % i) for i in range(5)]), s.commit()][1]))
    step("update, synchronized", lambda: orm(lambda s: [s.query(Order).filter(Order.customer_id == 4).update({"note": "all"}, synchronize_session="fetch"), s.commit()][0]))
    step("delete with cascade", lambda: orm(lambda s: [s.delete(s.get(Customer, 5)), s.commit(), s.query(Order).filter_by(customer_id=5).count()][2]))
    step("many to many changes", lambda: orm(tagging))
    step("begin_nested", lambda: orm(nested_session))
    step("refresh, expire", lambda: orm(refreshing))
    step("rollback", lambda: orm(lambda s: [s.add(Tag(name="gone")), s.flush(), s.rollback(), s.query(Tag).filter_by(name="gone").count()][3]))
    step("all fields written back, with masks among them", lambda: orm(back), refused="a masked placeholder must not be written back")


def unit(s, now):
    customer = Customer(name="Unit", email="user71@canary.example", ssn="900-45-6071", created_at=now)
    customer.orders = [Order(placed_at=now, items=[Item(line=1, product=s.get(Product, 1), amount=2, price=3), Item(line=2, product=s.get(Product, 2), amount=1, price=4)])]
    s.add(customer)
    s.commit()
    return [fields(customer), [[i.line, i.amount] for i in customer.orders[0].items]]


def change(s):
    customer = s.get(Customer, 6)
    customer.name, customer.profile = "Changed", {"language": "pt"}
    s.commit()
    return fields(customer)


def versioned(s):
    order = s.get(Order, 10)
    order.note = "one"
    s.commit()
    order.note = "two"
    s.commit()
    return [order.version, order.note]


def tagging(s):
    product = s.get(Product, 3)
    product.tags.append(Tag(name="new"))
    product.tags.remove(product.tags[0])
    s.commit()
    return [t.name for t in product.tags]


def nested_session(s):
    s.add(Tag(name="outside"))
    try:
        with s.begin_nested():
            s.add(Tag(name="tag1"))
    except IntegrityError:
        pass
    s.commit()
    return s.query(Tag).filter_by(name="outside").count()


def refreshing(s):
    customer = s.get(Customer, 7)
    s.expire(customer, ["email"])
    s.refresh(customer, ["ssn"])
    return fields(customer)


def back(s):
    seen = s.get(Customer, 8)
    s.execute(update(C).where(C.c.id == 8).values(name="Back", email=seen.email, ssn=seen.ssn))
    s.commit()


def reflecting():
    step("MetaData.reflect", reflected)
    step("inspector", inspected)
    step("Table(autoload_with)", lambda: [[c.name, str(c.type), c.nullable] for c in Table("customers", MetaData(), autoload_with=db).columns])
    step("automap", automapped)
    step("has_table, has_sequence", lambda: [inspect(db).has_table("customers"), inspect(db).has_table("nothing"), db.dialect.has_sequence(db.connect(), "customers_id_seq")])
    step("create_all, nothing to do", lambda: Base.metadata.create_all(db))
    step("server_version_info", lambda: [db.dialect.server_version_info >= (9, 6), db.dialect.default_schema_name])
    step("pool_pre_ping", lambda: engine(pool_pre_ping=True).connect().scalar(select(C.c.email).where(C.c.id == 1)))


def reflected():
    metadata = MetaData()
    metadata.reflect(db, views=True)
    return [[t.name, [[c.name, str(c.type), c.nullable, str(c.server_default and c.server_default.arg), sorted(str(f.target_fullname) for f in c.foreign_keys)] for c in t.columns],
             sorted(i.name for i in t.indexes), sorted(str(k.name) for k in t.constraints)] for t in metadata.sorted_tables]


def inspected():
    i = inspect(db)
    found = [i.get_schema_names(), i.get_table_names(), i.get_view_names(), i.get_view_definition("customer_names"), i.get_enums(), i.default_schema_name]
    for table in i.get_table_names():
        found.append([str(i.get_columns(table)), i.get_pk_constraint(table), i.get_foreign_keys(table), i.get_indexes(table), i.get_unique_constraints(table), i.get_check_constraints(table), i.get_table_comment(table)])
    return found + [i.get_table_oid("customers"), i.get_sorted_table_and_fkc_names()[0][0]]


def automapped():
    base = automap_base()
    base.prepare(db, reflect=True)
    with Session(db) as s:
        return [sorted(base.classes.keys()), [o.id for o in s.query(base.classes.orders).order_by("id").limit(3)]]


core()
reflecting()
mapped()
core_writing()
mapped_writing()
