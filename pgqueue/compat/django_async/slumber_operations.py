"""What can be asked over HTTP: schedule a job, the health of the queue, the progress of a group.

The answers are those that django-async gave through Slumber, which is not needed for it: JSON with
`_meta`, which says how it went and who asked.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic import View

from pgqueue.compat.django_async import api, running
from pgqueue.compat.django_async.addresses import address, data_link, progress_link
from pgqueue.compat.django_async.models import OPEN, Group, Job
from pgqueue.compat.paths import PathNotAllowedError
from pgqueue.core.errors import shown

_MESSAGES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 200: "OK"}


def answer(request: HttpRequest, status: int = 200, **content: Any) -> JsonResponse:
    """Give an answer."""
    meta: dict[str, Any] = {"message": _MESSAGES[status], "status": status}
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        meta["username"] = user.get_username()
    return JsonResponse({**content, "_meta": meta}, status=status)


def require(permission: str | None = None) -> Callable[..., Any]:
    """Ask for a user who has logged in, and has a permission."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def checked(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            user = getattr(request, "user", None)
            if user is None or not user.is_authenticated or not user.is_active:
                return answer(request, 401, error="log in first")
            if permission is not None and not user.has_perm(permission):
                return answer(request, 403, error=f"this needs the permission {permission}")
            return method(self, request, *args, **kwargs)

        return checked

    return decorate


@method_decorator(never_cache, name="dispatch")
class Operation(View):
    """One operation; a POST needs the CSRF token, as any of a logged-in user's does.

    With Django's middleware or without it; but not where a project has wrapped the view with
    `csrf_exempt`.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer, if it may be asked."""
        match = request.resolver_match
        if match is not None and getattr(match.func, "csrf_exempt", False):
            return super().dispatch(request, *args, **kwargs)
        return self._protected(request, *args, **kwargs)

    @method_decorator(csrf_protect)
    def _protected(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


class Health(Operation):
    """The health of the queue."""

    @require()
    def get(self, request: HttpRequest) -> JsonResponse:
        """Give it."""
        return answer(request, health=api.health())


class Schedule(Operation):
    """Schedule a job."""

    def get(self, request: HttpRequest) -> JsonResponse:
        """Say that it is here."""
        return answer(request)

    @require("async.add_job")
    def post(self, request: HttpRequest) -> JsonResponse:
        """Schedule one, as a form or as JSON describes it."""
        try:
            name, words = _read(request)
            job = api.schedule(name, **words)
        except PathNotAllowedError as error:
            return answer(request, 400, error=str(error))
        except ValidationError as error:
            return answer(request, 400, error=" ".join(error.messages))
        except (TypeError, ValueError) as error:
            return answer(request, 400, error=str(error))
        return answer(request, job={"id": job.pk})


class Progress(Operation):
    """How far a group is."""

    @require()
    def get(self, request: HttpRequest, reference: str) -> JsonResponse:
        """Tell it of the latest group of a reference; nothing where it has no jobs yet."""
        group: Group | None = (
            Group.objects.filter(reference=reference).order_by("-created", "-id").first()
        )
        if group is None:
            raise Http404(f"Cannot find group with reference [{reference}].")
        progress = progress_of(group)
        return answer(request) if progress is None else answer(request, progress=progress)


def progress_of(group: Group) -> dict[str, Any] | None:
    """Tell how far a group is; None while it has no jobs."""
    failed = Q(errors__isnull=False)
    found = group.jobs.aggregate(
        all_jobs=Count("id", distinct=True),
        all_executed=Count("id", filter=Q(executed__isnull=False), distinct=True),
        all_failed=Count("id", filter=failed, distinct=True),
        all_failing=Count("id", filter=failed & OPEN, distinct=True),
    )
    if not found["all_jobs"]:
        return None
    _, remaining, consumed = group.estimate_execution_duration()
    latest = group.latest_executed_job()
    return {
        "id": group.pk,
        "reference": group.reference,
        "created": group.created.isoformat(),
        "latest_job_completed": latest.executed.isoformat() if latest is not None else None,
        "total_jobs": found["all_jobs"],
        "total_executed_jobs": found["all_executed"],
        "total_unexecuted_jobs": found["all_jobs"] - found["all_executed"],
        "total_error_jobs": found["all_failed"],
        "current_errors": found["all_failing"],
        "consumed_seconds": None if consumed is None else int(consumed.total_seconds()),
        "remaining_seconds": 0 if remaining is None else max(0, int(remaining.total_seconds())),
    }


class JobData(Operation):
    """What there is of a job, at the address that health() gives."""

    @require("async.view_job")
    def get(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Give it."""
        return _data(request, Job, pk)


class GroupData(Operation):
    """What there is of a group."""

    @require()
    def get(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Give it, with the addresses of what can be asked of it."""
        group = Group.objects.filter(pk=pk).first()
        operations = {} if group is None else {"progress": progress_link(group)}
        return _data(request, Group, pk, operations=operations)


def _data(request: HttpRequest, model: Any, pk: int, **more: Any) -> JsonResponse:
    row = model.objects.filter(pk=pk).first()
    if row is None:
        raise Http404(f"Cannot find {model._meta.model_name} {pk}.")
    fields: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        value = getattr(row, field.attname)
        if field.is_relation:
            name = field.related_model._meta.model_name
            value = None if value is None else address(f"{name}-data", value)
        fields[field.name] = {"data": value, "type": type(field).__name__}
    content = json.loads(json.dumps(fields, cls=DjangoJSONEncoder))
    found = {"display": str(row), "fields": content, "identity": data_link(row)}
    return answer(request, **found, **more)


def _read(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """Read what is to be scheduled."""
    if request.content_type == "application/json":
        given = json.loads(request.body or b"{}")
        if not isinstance(given, dict):
            raise TypeError("the body must be a JSON object")
        args, kwargs, meta = (given.get(name) for name in ("args", "kwargs", "meta"))
    else:
        given = request.POST
        args = given.getlist("args")
        kwargs, meta = (json.loads(given.get(name) or "{}") for name in ("kwargs", "meta"))
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise TypeError("name must be the name of a function")
    for word, value, kind in (("args", args, list), ("kwargs", kwargs, dict), ("meta", meta, dict)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{word} must be a JSON {'array' if kind is list else 'object'}")
    words = {
        "args": args,
        "kwargs": kwargs,
        "meta": meta,
        "run_after": given.get("run_after") or None,
        "group": given.get("group") or None,
    }
    priority = given.get("priority")
    if priority not in (None, ""):
        words["priority"] = _priority(priority)
    return name, words


def _priority(given: Any) -> int:
    try:
        found = int(given)
    except (TypeError, ValueError, OverflowError):
        # The last of these: JSON that Python reads may say Infinity.
        found = None
    if found is None or not -(2**31) <= found < 2**31:
        raise ValueError(
            f"priority must be a whole number of 32 bits; got {shown(given)}; the default is "
            f"{running.PRIORITY}, and more comes first"
        )
    return found
