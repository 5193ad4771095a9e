"""Pickles that nobody has signed: plain data is read, nothing else is called."""

import collections
import datetime as dt
import decimal
import os
import uuid
import zoneinfo
from typing import Any

import pytest

from tests.compat.migrating.old_tables import pickled


@pytest.fixture
def plain(shared_market: object) -> Any:
    from pgqueue.compat.migrating import plain

    return plain


VALUES = [
    None, True, 3, 1 << 80, 1.5, "text", b"bytes", (1, (2, [3])), {"a": {1, 2}}, frozenset({"x"}),
    {1: 2}, complex(1, 2), bytearray(b"x"),
    dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    dt.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Vienna")),
    dt.datetime(2020, 1, 2), dt.date(2020, 1, 2), dt.time(3, 4), dt.timedelta(days=1.5),
    decimal.Decimal("1.50"), uuid.UUID(int=5),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_data_is_read_of_every_protocol(plain: Any, protocol: int) -> None:
    for value in VALUES:
        found = plain.read(pickled(value, protocol))
        assert (type(found), found) == (type(value), value)


def test_collections_of_other_kinds_become_plain_ones(plain: Any) -> None:
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    counted = collections.defaultdict(list, {"a": [1]})
    found = plain.read(pickled([ordered, counted, collections.deque([1])]))
    assert found == [{"b": 1, "a": 2}, {"a": [1]}, [1]]
    assert list(map(type, found)) == [dict, dict, list]


def test_what_older_versions_wrote_is_read(plain: Any) -> None:
    def read(text: bytes) -> Any:
        import base64

        return plain.read(base64.b64encode(text).decode())

    # Of Python 2: text as bytes, sets and times by the names of its modules.
    assert read(b"(lp0\nVa\np1\naI1\na.") == ["a", 1]
    assert read(b"c__builtin__\nset\n((lI1\natR.") == {1}
    assert read(
        b"cdatetime\ndatetime\n(c_codecs\nencode\n(V\\u0007\\u00e4\\u0001\\u0002\\u0003\\u0004"
        b"\\u0005\\u0000\\u0000\\u0000\nVlatin1\ntRcpytz\n_UTC\n(tRtR."
    ) == dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert read(b"cpytz\n_p\n(VEurope/Vienna\nI3600\nI0\nVCET\ntR.") == zoneinfo.ZoneInfo(
        "Europe/Vienna"
    )


def test_rows_of_the_application_become_references(plain: Any) -> None:
    from django.utils.safestring import mark_safe

    from pgqueue.core import codec
    from tests.compat.project.market.models import Order

    order = Order.objects.create(number="7")
    found = plain.read(pickled([order, {"of": order}, mark_safe("x")]))
    assert found == [order, {"of": order}, "x"]
    assert b'"market.order","%d"' % order.pk in codec.dumps(found)
    gone = Order.objects.create(number="8")
    text = pickled(gone)
    gone.delete()
    assert plain.read(text).pk is not None
    with pytest.raises(plain.UnreadableError, match=r"a market\.Order that was never saved"):
        plain.read(pickled(Order(number="9")))


class Call:
    """Call something when it is read."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


class Stateful:
    """Set a state of a type's."""

    def __reduce__(self) -> Any:
        return dict, (), {"a": 1}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_is_called(plain: Any, protocol: int, tmp_path: Any) -> None:
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import Basket, echo

    there = tmp_path / "there"
    calls = [
        Call(os.system, f"touch {there}"),
        Call(eval, f"open({str(there)!r}, 'w')"),
        Call(exec, f"open({str(there)!r}, 'w')"),
        Call(getattr, dict, "fromkeys"),
        Call(__import__, "this"),
        Call(open, str(there), "w"),
        Basket(1),
        echo,
        Order,
        Order.objects.all(),
        ValueError("x"),
        type,
        Stateful(),
        [os.system],
        dict,
    ]
    for value in calls:
        with pytest.raises(plain.UnreadableError):
            plain.read(pickled(value, protocol))
    assert not there.exists()


@pytest.mark.parametrize("text", ["", "x", "é", "gASVBQAAAAAAAAB9lA==trash", "AAAA"])
def test_what_is_no_pickle_says_so(plain: Any, text: str) -> None:
    with pytest.raises(plain.UnreadableError):
        plain.read(text)
