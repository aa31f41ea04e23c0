"""A working day of a Django application: the ORM from end to end, and the management commands that only look."""
import datetime
import io

import django_app

django_app.configure()

from django.contrib.auth.models import Group, Permission, User  # noqa: E402 (after configure)
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.contrib.postgres.aggregates import ArrayAgg, StringAgg  # noqa: E402
from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.paginator import Paginator  # noqa: E402
from django.db import IntegrityError, connection, transaction  # noqa: E402
from django.db.models import (  # noqa: E402
    Avg, Case, CharField, Count, DecimalField, Exists, ExpressionWrapper, F, FilteredRelation, IntegerField, Max, Min, OuterRef, Prefetch, Q,
    Subquery, Sum, Value, When, Window,
)
from django.db.models.functions import (  # noqa: E402
    Cast, Coalesce, Concat, DenseRank, ExtractYear, Lag, Length, Lower, RowNumber, TruncDay, TruncMonth, Upper,
)
from shop.models import Customer, Item, Order, Product, Tag  # noqa: E402
from steps import step  # noqa: E402

C = Customer.objects
O = Order.objects
P = Product.objects
ALL = ["id", "name", "email", "ssn", "card_number", "credit_limit", "labels", "profile", "active", "created_at"]


def fields(one):
    return {name: getattr(one, name) for name in ALL}


def reading():
    step("get", lambda: fields(C.get(pk=1)))
    step("get by a tagged column", lambda: fields(C.get(email="user2@canary.example")))
    step("get that finds nothing", lambda: C.get(pk=-1))
    step("all", lambda: [fields(c) for c in C.all()])
    step("filter, exclude, order_by", lambda: [fields(c) for c in C.filter(active=True).exclude(name__endswith="7").order_by("-created_at")[:7]])
    step("filter in", lambda: [c.email for c in C.filter(id__in=[1, 2, 3])])
    step("filter range and dates", lambda: [c.name for c in C.filter(created_at__range=("2024-01-03Z", "2024-01-09Z"), created_at__year=2024)])
    step("filter icontains, istartswith, regex", lambda: [c.name for c in C.filter(Q(name__icontains="ER 1") | Q(name__istartswith="cust"), name__regex="[0-9]$")])
    step("filter isnull", lambda: C.filter(ssn__isnull=False).count())
    step("filter by related", lambda: [c.email for c in C.filter(orders__state="paid", orders__items__amount__gte=3).distinct()[:5]])
    step("Q objects", lambda: [c.id for c in C.filter(~Q(active=True) | Q(id__lt=3) & ~Q(name="x"))])
    step("first, last, earliest, latest", lambda: [C.first().email, C.last().email, C.earliest("created_at").id, C.latest("created_at").id])
    step("exists, count", lambda: [C.filter(id=3).exists(), C.count(), C.filter(email__endswith="nowhere").exists()])
    step("in_bulk", lambda: {k: v.email for k, v in C.in_bulk([3, 4]).items()})
    step("values", lambda: list(C.values("id", "email", "ssn").order_by("id")[:5]))
    step("values_list, flat", lambda: list(C.values_list("email", flat=True)[:5]))
    step("values_list, named", lambda: list(C.values_list("id", "card_number", named=True)[:5]))
    step("only, defer", lambda: [[c.name for c in C.only("name")[:3]], [c.name for c in C.defer("ssn", "email")[:3]], C.only("name")[0].email])
    step("select_related", lambda: [[o.id, o.customer.name, o.customer.email] for o in O.select_related("customer").order_by("id")[:5]])
    step("prefetch_related", lambda: [[c.email, [[o.state, [i.amount for i in o.items.all()]] for o in c.orders.all()]]
                                      for c in C.prefetch_related("orders__items")[:4]])
    step("Prefetch object", lambda: [[c.id, [o.id for o in c.paid]] for c in C.prefetch_related(Prefetch("orders", O.filter(state="paid").order_by("id"), "paid"))[:6]])
    step("many to many", lambda: [[p.sku, sorted(t.name for t in p.tags.all())] for p in P.prefetch_related("tags").order_by("id")])
    step("reverse many to many", lambda: sorted(p.sku for p in Tag.objects.get(name="tag1").products.filter(price__gt=3)))
    step("distinct on", lambda: [[o.customer_id, o.id] for o in O.order_by("customer_id", "-placed_at").distinct("customer_id")[:8]])
    step("union, intersection, difference", lambda: [
        sorted(C.filter(id__lt=4).values_list("name").union(C.filter(id__in=[3, 9]).values_list("name"))),
        sorted(C.filter(id__lt=4).values_list("id").intersection(C.filter(id__gt=2).values_list("id"))),
        sorted(C.filter(id__lt=4).values_list("id").difference(C.filter(id=2).values_list("id")))])
    step("union of tagged columns", lambda: list(C.filter(id__lt=3).values_list("email").union(C.filter(id=9).values_list("email"), all=True)))
    step("dates, datetimes", lambda: [list(O.dates("placed_at", "month")), len(O.datetimes("placed_at", "day"))])
    step("iterator (server-side cursor)", lambda: [c.email for c in C.iterator(chunk_size=7)])
    step("pagination", lambda: [[Paginator(O.order_by("id"), 25).count, [o.id for o in Paginator(O.order_by("id"), 25).page(2)]]])
    step("reverse, slices", lambda: [c.id for c in C.order_by("id").reverse()[3:9:2]])
    step("none, random access", lambda: [list(C.none()), C.order_by("id")[5].ssn])
    step("refresh_from_db", lambda: fields(refreshed(C.get(pk=5))))


def refreshed(one):
    one.refresh_from_db()
    return one


def annotating():
    step("aggregate", lambda: O.aggregate(Count("id"), Min("placed_at"), Max("placed_at"), Count("customer", distinct=True)))
    step("aggregate of expressions", lambda: Item.objects.aggregate(total=Sum(F("amount") * F("price"), output_field=DecimalField()), mean=Avg("price")))
    step("aggregate of a tagged number", lambda: C.aggregate(Sum("credit_limit"), Count("ssn")), masked={"credit_limit__sum": "0", "ssn__count": 40})
    step("annotate count", lambda: [[c.email, c.n] for c in C.annotate(n=Count("orders")).order_by("-n", "id")[:5]])
    step("annotate several", lambda: list(C.annotate(n=Count("orders", distinct=True), amount=Sum("orders__items__amount")).values("id", "n", "amount").order_by("id")[:6]))
    step("annotate with filter", lambda: list(C.annotate(paid=Count("orders", filter=Q(orders__state="paid"))).values_list("id", "paid")[:8]))
    step("group by", lambda: list(O.values("state").annotate(n=Count("id"), last=Max("placed_at")).order_by("state")))
    step("having", lambda: list(O.values("customer").annotate(n=Count("id")).filter(n__gt=2).order_by("customer")))
    step("F expressions, functions", lambda: list(P.annotate(double=F("price") * 2, up=Upper("title"), size=Length("sku")).values("sku", "double", "up", "size").order_by("id")))
    step("functions of a tagged column", lambda: list(C.annotate(up=Upper("email"), low=Lower("ssn")).values_list("id", "up", "low")[:3]))
    step("Concat, Cast, Coalesce", lambda: list(P.annotate(s=Concat("sku", Value(": "), "title"), c=Cast("price", CharField()), k=Coalesce("title", Value("-"))).values_list("s", "c", "k")[:4]))
    step("Case, When", lambda: list(P.annotate(k=Case(When(price__gt=6, then=Value("dear")), default=Value("cheap"), output_field=CharField())).values_list("sku", "k").order_by("id")))
    step("Exists, OuterRef", lambda: list(C.annotate(shipped=Exists(O.filter(customer=OuterRef("pk"), state="shipped"))).filter(shipped=True).values_list("id", flat=True)))
    step("Subquery", lambda: [[c.email, c.last] for c in C.annotate(last=Subquery(O.filter(customer=OuterRef("pk")).order_by("-placed_at").values("note")[:1]))[:5]])
    step("Subquery of a tagged column", lambda: list(O.annotate(e=Subquery(C.filter(pk=OuterRef("customer")).values("email")[:1])).values_list("id", "e").order_by("id")[:4]))
    step("Window", lambda: list(O.annotate(r=Window(RowNumber(), partition_by=[F("customer")], order_by=F("placed_at").desc()),
                                           d=Window(DenseRank(), order_by=F("state").asc()), before=Window(Lag("id"), order_by=F("id").asc())).values_list("id", "r", "d", "before").order_by("id")[:9]))
    step("Trunc, Extract", lambda: list(O.annotate(m=TruncMonth("placed_at"), y=ExtractYear("placed_at")).values("m", "y").annotate(n=Count("id")).order_by("m")))
    step("TruncDay", lambda: list(O.annotate(day=TruncDay("placed_at")).values("day").annotate(n=Count("id")).order_by("day")[:9]))
    step("FilteredRelation", lambda: list(C.annotate(p=FilteredRelation("orders", condition=Q(orders__state="paid"))).filter(p__id__isnull=False).values_list("id", "p__id").order_by("p__id")[:5]))
    step("ExpressionWrapper, extra", lambda: [list(P.annotate(x=ExpressionWrapper(F("id") + 1, output_field=IntegerField())).values_list("x", flat=True).order_by("x")),
                                              list(P.extra(select={"cheap": "price < 5"}, order_by=["id"]).values_list("sku", "cheap"))])
    step("JSONField lookups", lambda: [list(C.filter(profile__language="nl", profile__address__city="City 3").values_list("id", flat=True)),
                                       list(C.filter(profile__visits__gt=37).values_list("profile__visits", flat=True)),
                                       list(C.filter(profile__has_key="visits", profile__contains={"language": "de"}).values_list("id", "profile")[:3])])
    step("ArrayField lookups", lambda: [list(C.filter(labels__contains=["l1"]).values_list("id", flat=True)[:4]), list(C.filter(labels__overlap=["l2"]).values_list("id", flat=True)[:4]),
                                        list(C.filter(labels__len=2, labels__0="l0").values_list("id", "labels")[:2])])
    step("ArrayAgg, StringAgg", lambda: [list(C.annotate(a=ArrayAgg("orders__id", ordering="orders__id")).values_list("id", "a")[:3]),
                                         P.aggregate(s=StringAgg("sku", ",", ordering="id"))])
    step("full text search", lambda: [[p.sku for p in P.annotate(s=SearchVector("title")).filter(s="green")],
                                      list(P.annotate(r=SearchRank(SearchVector("title"), SearchQuery("blue"))).order_by("-r", "id").values_list("sku", flat=True)[:3])])
    step("raw", lambda: [[c.id, c.email] for c in C.raw("SELECT * FROM shop_customer WHERE id < %s ORDER BY id", [4])])
    step("cursor", lambda: cursor("SELECT o.id, c.ssn, c.name FROM shop_order o JOIN shop_customer c ON c.id = o.customer_id WHERE o.id <= %s ORDER BY o.id", [3]))
    step("explain", lambda: "Seq Scan" in C.filter(active=True).explain() or "Scan" in C.all().explain())


def cursor(sql, parameters=None):
    with connection.cursor() as c:
        c.execute(sql, parameters)
        return [[d[0] for d in c.description], c.fetchall()]


def writing():
    now = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
    step("create", lambda: C.create(name="New", email="user77@canary.example", ssn="900-45-6077", created_at=now).pk)
    step("create and read back", lambda: fields(C.get(name="New")))
    step("bulk_create", lambda: [c.pk for c in C.bulk_create(Customer(name="B%d" % i, email="user8%d@canary.example" % i, created_at=now) for i in range(5))])
    step("bulk_create, ignore_conflicts", lambda: len(C.bulk_create([Customer(name="B", email="user1@canary.example", created_at=now)], ignore_conflicts=True)))
    step("a duplicate of a tagged value", duplicate, masked="IntegrityError")
    step("get_or_create", lambda: [[c.pk, c.email, made] for c, made in [C.get_or_create(email="user1@canary.example", defaults={"created_at": now}),
                                                                        C.get_or_create(email="user90@canary.example", defaults={"created_at": now, "name": "G"})]][:1])
    step("update_or_create, an untagged model", lambda: [[p.sku, p.title, made] for p, made in [P.update_or_create(sku="SKU-1", defaults={"title": "renewed"}),
                                                                                              P.update_or_create(sku="SKU-99", defaults={"title": "made", "price": 5})]])
    step("save, an untagged model", lambda: saved(P.get(pk=2)))
    step("save(update_fields) of a model with masked fields", lambda: renamed(C.get(pk=2), update_fields=["name"]))
    step("save of a model loaded with only()", lambda: renamed(C.only("name").get(pk=3)))
    step("save of all fields, with masks among them", lambda: renamed(C.get(pk=4)), refused="a masked placeholder must not be written back")
    step("update", lambda: [C.filter(id__gt=35).update(active=False), C.filter(active=False).count()])
    step("update with F", lambda: [P.update(price=F("price") + 1), list(P.order_by("id").values_list("price", flat=True)[:3])])
    step("update a tagged column", lambda: C.filter(pk=6).update(ssn="900-45-6999"))
    step("update with Case and a subquery", lambda: O.filter(id__lt=5).update(note=Subquery(C.filter(pk=OuterRef("customer")).values("name")[:1])))
    step("bulk_update", lambda: bulk())
    step("many to many changes", lambda: tagging(P.get(sku="SKU-3")))
    step("delete with cascade", lambda: C.get(pk=40).delete())
    step("delete a query set", lambda: O.filter(state="new", id__gt=100).delete())
    step("protected", lambda: P.get(pk=1).delete())
    step("select_for_update", locked)
    step("select_for_update, skip_locked, of", lambda: locked(skip_locked=True, of=("self",)))
    step("atomic, rolled back", rolled_back)
    step("savepoints", savepoints)
    step("on_commit", committed)
    step("sequence in raw SQL", lambda: cursor("SELECT nextval('shop_tag_id_seq')")[1])


def duplicate():
    try:
        with transaction.atomic():
            C.create(name="Again", email="user1@canary.example", created_at=datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc))
    except IntegrityError as error:
        return "IntegrityError" if "23505" == error.__cause__.pgcode else str(error)


def saved(one):
    one.title += "!"
    one.save()
    return P.get(pk=one.pk).title


def renamed(one, **how):
    one.name += " the second"
    one.save(**how)
    return fields(C.get(pk=one.pk))


def bulk():
    some = list(P.order_by("id")[:4])
    for one in some:
        one.title = one.title.upper()
    P.bulk_update(some, ["title"])
    return list(P.order_by("id").values_list("title", flat=True)[:5])


def tagging(product):
    product.tags.add(Tag.objects.create(name="added"))
    product.tags.remove(Tag.objects.get(name="tag2"))
    after = sorted(t.name for t in product.tags.all())
    product.tags.clear()
    return [after, product.tags.count()]


def locked(**how):
    with transaction.atomic():
        return [c.email for c in C.select_for_update(**how).filter(id__lt=4)]


def rolled_back():
    try:
        with transaction.atomic():
            O.filter(id=1).update(note="never")
            raise KeyError
    except KeyError:
        return O.get(id=1).note


def savepoints():
    with transaction.atomic():
        O.filter(id=7).update(note="outer")
        try:
            with transaction.atomic():
                Tag.objects.create(name="tag1")
        except IntegrityError:
            pass
        return [O.get(id=7).note, Tag.objects.filter(name="tag1").count()]


def committed():
    done = []
    with transaction.atomic():
        transaction.on_commit(lambda: done.append(1))
        Tag.objects.create(name="committed")
    return done


def command(name, *arguments, **options):
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, **options)
    return out.getvalue()


def framework():
    step("migrate --plan", lambda: command("migrate", plan=True))
    step("migrate, nothing to do", lambda: command("migrate", verbosity=1))
    step("showmigrations", lambda: command("showmigrations"))
    step("sqlmigrate", lambda: len(command("sqlmigrate", "contenttypes", "0001")) > 0)
    step("check --database", lambda: command("check", databases=["default"]))
    step("makemigrations --check", lambda: command("makemigrations", check_changes=True, dry_run=True))
    step("inspectdb", lambda: command("inspectdb"))
    step("inspectdb, one table", lambda: command("inspectdb", "shop_customer"))
    step("sqlsequencereset", lambda: command("sqlsequencereset", "shop"))
    step("introspection", introspection)
    step("dumpdata of an untagged model", lambda: command("dumpdata", "shop.product", "shop.tag"))
    step("dumpdata of a tagged model", lambda: command("dumpdata", "shop.customer", indent=1))
    step("auth: create_user, permissions", users)
    step("auth: authenticate", lambda: User.objects.get(username="ann").check_password("secret word"))
    step("sessions", sessions)
    step("content types", lambda: sorted([c.app_label, c.model] for c in ContentType.objects.all()))
    step("admin's change list", change_list)
    step("server_version, is_usable", lambda: [connection.pg_version > 90000, connection.is_usable(), connection.settings_dict["NAME"]])
    step("reconnect", lambda: [connection.close(), C.first().email][1:])
    step("time zone of the connection", lambda: cursor("SHOW timezone"))


def introspection():
    with connection.cursor() as c:
        found = connection.introspection
        return [sorted(found.table_names(c, include_views=True)), sorted(found.get_constraints(c, "shop_item")), found.get_sequences(c, "shop_customer"),
                [list(d) for d in found.get_table_description(c, "shop_customer")], found.get_relations(c, "shop_item")]


def users():
    user = User.objects.create_user("ann", "ann@example.org", "secret word")
    group = Group.objects.create(name="editors")
    group.permissions.set(Permission.objects.filter(codename__endswith="customer"))
    user.groups.add(group)
    return sorted(User.objects.get(username="ann").get_all_permissions())


def sessions():
    store = SessionStore()
    store["cart"] = [1, 2, 3]
    store.create()
    again = SessionStore(session_key=store.session_key)
    cart = again["cart"]
    again["cart"] = cart + [4]
    again.save()
    again.delete()
    return [cart, SessionStore(session_key=store.session_key).get("cart")]


def change_list():
    queryset = C.filter(Q(name__icontains="1") | Q(email__icontains="user1")).order_by("-id")
    page = Paginator(queryset, 10).page(1)
    return [queryset.count(), C.count(), [[c.id, c.name, c.email, c.active] for c in page.object_list]]


reading()
annotating()
framework()
writing()
