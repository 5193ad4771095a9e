"""The small modules: names of ids, signed packages, dates."""

import datetime as dt
import math
import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest

pytestmark = pytest.mark.usefixtures("market")


def test_an_id_has_a_name_of_four_words() -> None:
    from pgqueue.compat.django_q import humanhash

    name, digest = humanhash.uuid()
    assert re.fullmatch("[0-9a-f]{32}", digest)
    assert re.fullmatch("[a-z]+(-[a-z]+){3}", name)
    assert humanhash.humanize(digest) == name
    assert humanhash.humanize(digest, words=2, separator=" ").count(" ") == 1
    assert len(set(humanhash.DEFAULT_WORDLIST)) == 256
    numbers = [96, 173, 141, 13, 135, 27, 96, 149, 128, 130, 151]
    assert humanhash.HumanHasher.compress(numbers, 4) == [205, 128, 156, 96]
    with pytest.raises(ValueError, match="15 words need as many bytes; got 11"):
        humanhash.HumanHasher.compress(numbers, 15)
    with pytest.raises(ValueError, match="256 words; got 2"):
        humanhash.HumanHasher(("a", "b"))
    own = humanhash.HumanHasher([str(at) for at in range(256)])
    assert own.humanize("60ad8d0d871b6095808297") == "205-128-156-96"


@pytest.mark.parametrize("compressed", [None, True, False])
def test_a_package_is_opened_where_it_was_signed(compressed: bool | None) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.signing import BadSignature, SignedPackage
    from pgqueue.compat.pickles import PickleRefusedError

    value: dict[str, Any] = {"func": math.floor, "args": (1.5,), "big": "x" * 1000}
    text = SignedPackage.dumps(value, compressed)
    assert SignedPackage.loads(text) == value
    assert (len(text) < 1000) == bool(compressed)
    with pytest.raises(BadSignature):
        SignedPackage.loads(text[:-1] + ("a" if text[-1] != "a" else "b"))
    with override_settings(SECRET_KEY="new"), pytest.raises(BadSignature):
        SignedPackage.loads(text)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only for tests"]):
        assert SignedPackage.loads(text) == value
    with override_settings(Q_CLUSTER={"name": "other"}), pytest.raises(BadSignature):
        SignedPackage.loads(text)
    with override_settings(PGQUEUE={"PICKLE": False}), pytest.raises(PickleRefusedError):
        SignedPackage.loads(text)


def test_months_and_years_end_on_their_last_day() -> None:
    from pgqueue.compat.django_q.utils import add_months, add_years

    assert add_months(dt.datetime(2023, 1, 31, 5), 1) == dt.datetime(2023, 2, 28, 5)
    assert add_months(dt.date(2023, 12, 31), 2) == dt.date(2024, 2, 29)
    assert add_months(dt.date(2023, 1, 15), -1) == dt.date(2022, 12, 15)
    assert add_years(dt.date(2024, 2, 29), 1) == dt.date(2025, 2, 28)
    assert add_years(dt.datetime(2024, 2, 29, 1), 4) == dt.datetime(2028, 2, 29, 1)
    zone = ZoneInfo("Europe/Vienna")
    assert add_months(dt.datetime(2024, 3, 30, 8, tzinfo=zone), 1).utcoffset() == dt.timedelta(
        hours=2
    )


def test_the_local_time_is_that_of_the_cluster() -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.utils import localtime

    noon = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    assert localtime(noon).isoformat() == "2024-01-01T13:00:00+01:00"
    with override_settings(Q_CLUSTER={"time_zone": "Asia/Tokyo"}):
        assert localtime(noon).hour == 21
        assert localtime().utcoffset() == dt.timedelta(hours=9)
    with override_settings(USE_TZ=False):
        plain = dt.datetime(2024, 1, 1)
        assert localtime(plain) is plain
        assert localtime().tzinfo is None


def test_functions_have_paths() -> None:
    from pgqueue.compat.django_q.utils import get_func_repr
    from tests.compat.project.market import tasks

    assert get_func_repr(tasks.echo) == "tests.compat.project.market.tasks.echo"
    assert get_func_repr(tasks.Basket.total) == "tests.compat.project.market.tasks.Basket.total"
    assert get_func_repr("math.floor") == "math.floor"
    assert get_func_repr(None) is None


def test_a_timeout_has_its_old_name() -> None:
    from pgqueue import JobTimeout
    from pgqueue.compat.django_q.exceptions import TimeoutException

    assert TimeoutException is JobTimeout
