"""Signed pickles: what is pickled, and what is opened."""

import base64
import pickle
from typing import Any

import pytest

from pgqueue import DecodeError, NotSerializableError
from pgqueue.core import codec
from tests.compat.test_here import TASKS, enqueue
from tests.fixtures.databases import Database

WORDS = {"task": "old:shop.send", "queue": "old"}


@pytest.fixture
def pickles(shared_market: object) -> Any:
    from pgqueue.compat import pickles

    return pickles


def sent(value: Any) -> Any:
    """Give what comes out of the database for a value that goes in."""
    return codec.loads(codec.dumps(value))


@pytest.mark.parametrize(
    "value", [[], [1, "a", None, {"a": (1, 2)}], {"b": {1, 2}}, [b"x"], [1 << 80]]
)
def test_what_json_has_a_form_for_is_not_pickled(pickles: Any, value: Any) -> None:
    packed = pickles.pack(value, **WORDS)
    assert packed is value
    assert b"pickle" not in codec.dumps(packed)
    assert pickles.unpack(sent(packed), **WORDS) == value


def test_only_what_has_none_is_pickled(pickles: Any) -> None:
    from tests.compat.project.market.tasks import Basket, echo

    class Text(str):
        __slots__ = ()

    value = [
        1, Basket(1), {"a": [Basket(2)], 3: 4}, {"b": {Basket(3)}}, (Basket(4), 1 + 2j), echo,
        Text("t"), "\0", float("nan"),
    ]  # fmt: skip
    packed = pickles.pack(value, **WORDS)
    assert packed[0] == 1
    assert type(packed[4][1]) is pickles.Pickled
    assert repr(packed[1]).startswith("<signed pickle of ")
    found = pickles.unpack(sent(packed), **WORDS)
    assert found[:6] == value[:6]
    assert found[7] == "\0"
    assert found[8] != found[8]


def test_models_go_by_reference_once_they_are_saved(pickles: Any) -> None:
    from tests.compat.project.market.models import Order

    unsaved, saved = Order(number="1"), Order.objects.create(number="2")
    packed = pickles.pack([unsaved, saved], **WORDS)
    assert packed[1] is saved
    again = pickles.unpack(packed, **WORDS)
    assert (again[0].number, again[0].pk) == ("1", None)


def test_what_is_deep_or_goes_round_is_one_pickle(pickles: Any) -> None:
    from tests.compat.project.market.tasks import Basket

    deep: list[Any] = [Basket(1)]
    for _ in range(70):
        deep = [deep]
    assert pickles.unpack(sent(pickles.pack(deep, **WORDS)), **WORDS) == deep
    ring: list[Any] = []
    ring.append(ring)
    (found,) = pickles.unpack(sent(pickles.pack([ring], **WORDS)), **WORDS)
    while found[0] is not found:
        (found,) = found
    wide: Any = [Basket(1)]
    for _ in range(40):
        wide = [wide, wide]
    assert len(codec.dumps(pickles.pack([wide], **WORDS))) < 100_000


def test_what_cannot_be_pickled_is_refused(pickles: Any) -> None:
    with pytest.raises(NotSerializableError, match=r"of type function can neither .* pickled"):
        pickles.pack([lambda: 1], **WORDS)


@pytest.mark.parametrize("words", [{"task": "old:os.system"}, {"queue": "other"}])
def test_it_is_for_one_task_in_one_queue(pickles: Any, words: Any) -> None:
    packed = sent(pickles.pack([1j], **WORDS))
    with pytest.raises(pickles.PickleRefusedError, match="is not signed for the task"):
        pickles.unpack(packed, **{**WORDS, **words})


def test_a_job_that_was_moved_to_another_queue_is_looked_at_again(pickles: Any) -> None:
    packed = sent(pickles.pack([1j], **WORDS))
    words = {**WORDS, "queue": "other"}
    assert pickles.unpack(packed, **words, producers_queue=lambda: "old") == [1j]
    for queue in (None, "other", "third"):
        with pytest.raises(pickles.PickleRefusedError):
            pickles.unpack(packed, **words, producers_queue=lambda queue=queue: queue)


class Bomb:
    """Explode when it is opened."""

    def __reduce__(self) -> Any:
        return exec, ("raise RuntimeError('opened')",)


@pytest.mark.parametrize("mac", ["", "00", "0" * 64])
def test_an_unsigned_or_forged_one_is_never_opened(pickles: Any, mac: str) -> None:
    held = f"{mac}:{base64.b64encode(pickle.dumps(Bomb())).decode()}"
    value = codec.decode([{"$t": "pickle", "v": held}])
    with pytest.raises(pickles.PickleRefusedError):
        pickles.unpack(value, **WORDS)


def test_a_changed_one_is_not_opened(pickles: Any) -> None:
    (sealed,) = pickles.pack([1j], **WORDS)
    changed = pickles.Pickled(mac=sealed.mac, data=sealed.data + b"x")
    with pytest.raises(pickles.PickleRefusedError):
        pickles.unpack([changed], **WORDS)


@pytest.mark.parametrize("held", ["", "abc", ":x", "a:b:c", 3, None, [], {"a": 1}])
def test_a_malformed_one_is_malformed(pickles: Any, held: Any) -> None:
    with pytest.raises(DecodeError, match="malformed tagged"):
        pickles.unpack(codec.decode([{"$t": "pickle", "v": held}]), **WORDS)


def test_keys_may_be_rotated(pickles: Any) -> None:
    from django.test import override_settings

    packed = sent(pickles.pack([1j], **WORDS))
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["newer", "only for tests"]):
        assert pickles.unpack(packed, **WORDS) == [1j]
    with override_settings(SECRET_KEY="new"), pytest.raises(pickles.PickleRefusedError):
        pickles.unpack(packed, **WORDS)


def test_it_can_be_turned_off(pickles: Any) -> None:
    from django.test import override_settings

    packed = sent(pickles.pack([1j], **WORDS))
    with override_settings(PGQUEUE={"PICKLE": False}):
        assert pickles.pack([1], **WORDS) == [1]
        with pytest.raises(NotSerializableError, match=r'complex.*PGQUEUE\["PICKLE"\] is False'):
            pickles.pack([1j], **WORDS)
        with pytest.raises(pickles.PickleRefusedError, match=r'PGQUEUE\["PICKLE"\] is False'):
            pickles.unpack(packed, **WORDS)


def test_one_whose_class_is_gone_says_so(pickles: Any, monkeypatch: Any) -> None:
    from tests.compat.project.market import tasks

    packed = sent(pickles.pack([tasks.Basket(1)], **WORDS))
    monkeypatch.delattr(tasks, "Basket")
    with pytest.raises(DecodeError, match="its class may have changed"):
        pickles.unpack(packed, **WORDS)


def test_the_native_codec_never_opens_one(pickles: Any) -> None:
    (value,) = codec.decode([{"$t": "pickle", "v": "00:" + base64.b64encode(b"x").decode()}])
    assert type(value) is pickles.Pickled


def test_a_job_gets_and_gives_such_values(shared_market: Database, pickles: Any) -> None:
    from pgqueue.compat import here
    from tests.compat.project.market.tasks import Basket

    (packed,) = pickles.pack([Basket(1j)], task=f"old:{TASKS}.fill", queue="old")
    job = enqueue("fill", packed)
    (ran,) = here.run(["old"])
    assert ran.state == "succeeded"
    [(stored,)] = shared_market.execute(
        "SELECT result FROM pgqueue.job_overview WHERE id = %s", [job]
    )
    assert stored["$t"] == "pickle"
    result = pickles.unpack(codec.decode(stored), task=f"old:{TASKS}.fill", queue="old")
    assert result == Basket(Basket(1j))


def test_a_forged_one_fails_its_job(shared_market: Database, pickles: Any) -> None:
    from pgqueue.compat import here

    enqueue("echo", pickles.Pickled(mac="0" * 64, data=pickle.dumps(Bomb())))
    (ran,) = here.run(["old"])
    assert ran.state == "failed"
    assert "is not signed for the task" in str(ran.error)
