"""The pages in an admin of the project's own, beside the usual one."""

import re
from typing import Any

from tests import factories
from tests.django_app.admin.conftest import Connection, text_of
from tests.django_app.admin.test_schedules import make


def test_every_link_stays_in_its_site(root: Any, c: Connection) -> None:
    from django.contrib.auth.models import User

    (group,) = c.execute("SELECT pgqueue.create_group('g')").fetchone() or (0,)
    first = factories.job(c, group_id=group)
    user = User.objects.get().pk
    meta = (
        f'{{"pgqueue_objects": ["auth.user:{user}"], "pgqueue": {{"schedule": "report",'
        ' "planned_at": "2027-01-02T03:04:05+00:00"}}'
    )
    make(c, "report")
    job = factories.running(c, group_id=group, meta=meta)
    c.execute(
        "INSERT INTO pgqueue.job_dependencies (child_id, parent_id) VALUES (%s, %s)", (job, first)
    )
    over = factories.finished(c, "failed", error="why")
    worker = factories.position(c, job)["worker_id"]
    base = "/ops/pgqueue"
    pages = {
        address: text_of(root.get(address))
        for address in (
            "/ops/", f"{base}/job/", f"{base}/job/{first}/change/", f"{base}/job/{job}/change/",
            f"{base}/job/{over}/change/", f"{base}/group/", f"{base}/group/{group}/change/",
            f"{base}/queue/", f"{base}/queue/default/change/", f"{base}/worker/",
            f"{base}/worker/{worker}/change/", f"{base}/schedule/", f"{base}/schedule/add/",
            f"{base}/schedule/report/change/", f"{base}/failure/", f"{base}/dashboard/",
        )
    }  # fmt: skip
    for address, page in pages.items():
        links = re.findall(r'(?:href|action|data-\w+)="(/[^"]*)"', page)
        assert not [link for link in links if link.startswith("/admin")], address
    for link in (f"group/{group}", "schedule/report", f"worker/{worker}"):
        assert f'href="{base}/{link}/change/"' in pages[f"{base}/job/{job}/change/"]
    for name in ("cancel", "delete_selected"):
        page = text_of(root.post(f"{base}/job/{first}/act/{name}/"))
        assert '"/admin' not in page
    response = root.post(f"{base}/job/{first}/act/cancel/", {"sure": "yes"})
    assert response["Location"] == f"{base}/job/{first}/change/"
