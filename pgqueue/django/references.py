"""Model instances as arguments: stored as model and primary key, fetched where the job runs.

The stored form is the tagged value `model`: `["shop.order", "42"]`, and the alias of the database
behind it where that is not the one that routers name. Which rows a job was given is kept in its
meta too, where an index finds it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models, router

from pgqueue.core import tagged
from pgqueue.core.errors import ArgumentGoneError, BadArgumentsError, NotSerializableError
from pgqueue.core.outcome import Cancel
from pgqueue.django import conf

#: Where in a job's meta the names of the rows stand that it was given.
KEY: Final = tagged.OBJECTS


#: Not empty once any was read: where none ever is, arguments need not be looked through.
_seen: Final[list[bool]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A row, by its model and primary key.

    Attributes:
        label: of the model: `shop.order`.
        pk: its primary key, as text.
        using: the alias of its database; empty for the one that routers name.
    """

    label: str
    pk: str
    using: str = ""

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.label} {self.pk}"

    def fetch(self) -> models.Model:
        """Read the row.

        Raises:
            ObjectDoesNotExist: it is gone.
            BadArgumentsError: there is no such model.
        """
        found = _rows([self]).get(self)
        if found is None:
            raise ObjectDoesNotExist(f"{self} does not exist any more")
        return found


def register() -> None:
    """Let arguments and results hold model instances."""
    tagged.register(tagged.OBJECT_TAG, models.Model, _write, _read)
    # What was read may be passed on as it is: the arguments of a job to another one.
    tagged.register(tagged.OBJECT_TAG, Reference, _write_reference, _read)


def name_of(instance: models.Model) -> str:
    """Name a row as a job's meta does.

    Raises:
        NotSerializableError: it was never saved.
    """
    try:
        label, pk, *_ = _write(instance)[tagged.VALUE]
    except tagged.RefusedError as refused:
        raise NotSerializableError(refused.sentence("$")) from None
    return tagged.object_name(label, pk)


def fetch(args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Put rows in the place of references, one query a model.

    Raises:
        ArgumentGoneError: a row is gone, and PGQUEUE["MISSING_OBJECTS"] is "fail".
        Cancel: the same, where it is "cancel".
        BadArgumentsError: there is no such model.
    """
    if not _seen:
        return args, kwargs
    wanted = list(dict.fromkeys(_references([args, kwargs])))
    if not wanted:
        return args, kwargs
    rows = _rows(wanted)
    gone = [reference for reference in wanted if reference not in rows]
    if gone and (policy := conf.missing_objects()) != "none":
        sentence = f"{', '.join(map(str, gone[:5]))} does not exist any more"
        raise Cancel(sentence) if policy == "cancel" else ArgumentGoneError(sentence)
    return _filled(args, rows), _filled(kwargs, rows)


def _write(instance: models.Model) -> dict[str, Any]:
    meta = instance._meta
    if instance.pk is None or instance._state.adding:
        raise tagged.RefusedError(
            f"a {meta.label} that was never saved stands", "save it first, a job gets it by its key"
        )
    key = meta.pk
    if getattr(meta, "is_composite_pk", False) or isinstance(instance.pk, tuple):
        raise tagged.RefusedError(
            f"a {meta.label}, which has a composite primary key, stands",
            "pass the parts of its key",
        )
    held = [meta.label_lower, str(key.value_to_string(instance))]
    using = instance._state.db
    if using and using != router.db_for_write(type(instance)):
        held.append(using)
    return {tagged.TAG: tagged.OBJECT_TAG, tagged.VALUE: held}


def _write_reference(reference: Reference) -> dict[str, Any]:
    held = [reference.label, reference.pk, *([reference.using] if reference.using else [])]
    return {tagged.TAG: tagged.OBJECT_TAG, tagged.VALUE: held}


def _read(held: Any) -> Reference:
    label, pk, *using = held
    if len(using) > 1 or not all(type(part) is str for part in held):
        raise ValueError
    if not _seen:
        _seen.append(True)
    return Reference(label=label, pk=pk, using=using[0] if using else "")


def _references(value: Any) -> Iterator[Reference]:
    kind = type(value)
    if kind is Reference:
        yield value
    elif kind is dict:
        for item in value.values():
            yield from _references(item)
    elif kind in (list, tuple, set, frozenset):
        for item in value:
            yield from _references(item)


def _filled(value: Any, rows: dict[Reference, models.Model]) -> Any:
    kind = type(value)
    if kind is Reference:
        return rows.get(value)
    if kind is dict:
        return {key: _filled(item, rows) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(_filled(item, rows) for item in value)
    return value


def _rows(wanted: Iterable[Reference]) -> dict[Reference, models.Model]:
    groups: dict[tuple[str, str], list[Reference]] = {}
    for reference in wanted:
        groups.setdefault((reference.label, reference.using), []).append(reference)
    found: dict[Reference, models.Model] = {}
    for (label, using), references in groups.items():
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError):
            raise BadArgumentsError(f"there is no model {label} any more") from None
        keys: dict[Any, Reference] = {}
        for reference in references:
            try:
                keys[model._meta.pk.to_python(reference.pk)] = reference
            except ValidationError:
                raise BadArgumentsError(
                    f"the primary key of {label} cannot be read from {reference.pk!r}"
                ) from None
        # The base manager: one that hides rows is for lists. The database that is written to: a
        # replica may not have them yet.
        manager = model._base_manager.using(using or router.db_for_write(model))
        for row in manager.filter(pk__in=list(keys)):
            found[keys[row.pk]] = row
    return found
