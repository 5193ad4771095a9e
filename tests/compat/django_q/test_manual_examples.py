"""The examples of the manual's pages about schedules, signals, monitor, and of its last page."""

import datetime as dt
import subprocess
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests import factories

pytestmark = pytest.mark.usefixtures("manual")

Work = Callable[..., list[Any]]


def test_schedules(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django.utils import timezone
    from django_q.models import Schedule
    from django_q.tasks import schedule

    # Use the schedule wrapper
    schedule("math.copysign", 2, -2, hook="hooks.print_result", schedule_type="D")

    # Or create the object directly
    Schedule.objects.create(
        func="math.copysign", hook="hooks.print_result", args="2,-2", schedule_type=Schedule.DAILY
    )

    # In case you want to use q_options
    # Specify the broker by using the property broker_name in q_options
    schedule(
        "math.sqrt",
        9,
        hook="hooks.print_result",
        q_options={"timeout": 30, "broker_name": "broker_1"},
        schedule_type=Schedule.HOURLY,
    )

    # Run a schedule every 5 minutes, starting at 6 today
    # for 2 hours
    schedule(
        "math.hypot",
        3,
        4,
        schedule_type=Schedule.MINUTES,
        minutes=5,
        repeats=24,
        next_run=timezone.now().replace(hour=18, minute=0) + dt.timedelta(days=1),
    )

    # Use a cron expression
    schedule("math.hypot", 3, 4, schedule_type=Schedule.CRON, cron="0 22 * * 1-5")

    # Restrain a schedule to a specific cluster
    schedule("math.hypot", 3, 4, schedule_type=Schedule.DAILY, cluster="my_cluster")

    work()
    assert capsys.readouterr().out == "-2.0\n-2.0\n"
    work("broker_1")
    assert capsys.readouterr().out == "3.0\n"
    done = {row.func: row for row in Schedule.objects.order_by("id").filter(task__isnull=False)}
    assert done["math.sqrt"].success() is True
    assert "/django_q/success/" in done["math.sqrt"].last_run()
    left = Schedule.objects.get(schedule_type=Schedule.MINUTES)
    assert (left.repeats, left.task) == (24, None)
    assert Schedule.objects.get(cluster="my_cluster").task is None
    work("my_cluster")
    assert Schedule.objects.get(cluster="my_cluster").success() is True


def test_management_commands(work: Work) -> None:
    from django_q.models import Success
    from django_q.tasks import async_task, schedule

    # run `manage.py clearsession` every hour
    schedule("django.core.management.call_command", "clearsessions", schedule_type="H")

    # now you can schedule it to run every hour
    schedule("tasks.clear_sessions_command", schedule_type="H")

    async_task("django.core.management.call_command", "clearsessions")
    work()
    assert Success.objects.count() == 3


def test_welcome_mail_with_follow_up(work: Work) -> None:
    from django.contrib.auth.models import User
    from django.core import mail
    from django.utils import timezone
    from django_q.models import Schedule
    from django_q.tasks import async_task, schedule

    def welcome_mail(user: Any) -> None:
        msg = "Welcome to our website"
        # send this message right away
        async_task("django.core.mail.send_mail", "Welcome", msg, "from@example.com", [user.email])
        # and this follow up email in one hour
        msg = "Here are some tips to get you started..."
        schedule(
            "django.core.mail.send_mail",
            "Follow up",
            msg,
            "from@example.com",
            [user.email],
            schedule_type=Schedule.ONCE,
            next_run=timezone.now() + dt.timedelta(hours=1),
        )

    mail.outbox = []
    welcome_mail(User(email="ann@example.com"))
    work()
    assert [message.subject for message in mail.outbox] == ["Welcome"]
    Schedule.objects.update(next_run=timezone.now() - dt.timedelta(minutes=1))
    work()
    assert [message.subject for message in mail.outbox] == ["Welcome", "Follow up"]
    assert mail.outbox[1].to == ["ann@example.com"]

    # since the `repeats` defaults to -1
    # this schedule will erase itself after having run
    assert not Schedule.objects.exists()


def test_model_signals(work: Work) -> None:
    from django.contrib.auth.models import User
    from django.core import mail
    from django.db.models.signals import pre_save
    from django.dispatch import receiver
    from django_q.tasks import async_task

    # set up the pre_save signal for our user
    @receiver(pre_save, sender=User)
    def email_changed(sender: Any, instance: Any, **kwargs: Any) -> None:
        try:
            user = sender.objects.get(pk=instance.pk)
        except sender.DoesNotExist:
            pass  # new user
        else:
            # has his email changed?
            if user.email != instance.email:
                # tell everyone
                async_task("tasks.inform_everyone", instance)
                async_task("tasks.inform_everyone_async", instance)

    mail.outbox = []
    try:
        ann = User.objects.create(username="ann", email="ann@example.com")
        User.objects.create(username="bob", email="bob@example.com")
        ann.email = "ann@example.org"
        ann.save()
    finally:
        pre_save.disconnect(email_changed, sender=User)
    assert len(work()) == 3
    text = "Dear bob, ann has a new email address: ann@example.org"
    assert [(message.to, message.body) for message in mail.outbox] == 2 * [
        (["bob@example.com"], text)
    ]


def test_reports(work: Work) -> None:
    import django
    from django.contrib.auth.models import User
    from django.core import mail
    from django.test import override_settings
    from django_q.tasks import async_task

    def create_report(user: Any) -> None:
        async_task("tasks.create_html_report", user, hook="tasks.email_report", ack_failure=True)

    mail.outbox = []
    create_report(User.objects.create(username="ann", email="ann@example.com"))
    work()
    assert [(message.to, message.body) for message in mail.outbox] == [
        (["ann@example.com"], "We had a great quarter!")
    ]
    admins: list[Any] = ["a@example.com"] if django.VERSION >= (6,) else [("a", "a@example.com")]
    with override_settings(ADMINS=admins, EMAIL_SUBJECT_PREFIX=""):
        create_report(User.objects.create(username="nobody"))
        work()
    assert mail.outbox[1].subject == "Report generation failed"
    assert mail.outbox[1].body.startswith("nobody has no report")


def test_an_index_in_real_time(work: Work) -> None:
    import tasks
    from django.db.models.signals import post_save
    from django.dispatch import receiver
    from django_q.models import Task
    from django_q.tasks import async_task

    from tests.compat.project.market.models import Order

    # hook up the post save handler
    @receiver(post_save, sender=Order)
    def document_changed(sender: Any, instance: Any, **kwargs: Any) -> None:
        async_task("tasks.index_object", sender, instance, save=False)
        # turn off result saving to not flood your database

    try:
        order = Order.objects.create(number="a1")
    finally:
        post_save.disconnect(document_changed, sender=Order)
    work()
    assert tasks.indexed == [(Order, order)]
    assert not Task.objects.exists()


def test_shell(work: Work, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from subprocess import PIPE

    from django_q.tasks import async_task, result

    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.py").write_text("")

    # make a backup copy of setup.py
    async_task("subprocess.call", ["cp", "setup.py", "setup.py.bak"])

    # call ls -l and dump the output
    task_id = async_task("subprocess.check_output", ["ls", "-l"])
    work()

    # get the result
    dir_list = result(task_id)
    assert b"setup.py.bak" in dir_list

    # make a backup copy of setup.py
    tid = async_task("subprocess.run", ["cp", "setup.py", "setup.py.bak"])
    work()

    # get the result
    r = result(tid, 500)
    assert isinstance(r, subprocess.CompletedProcess)
    # we can now look at the original arguments
    assert r.args == ["cp", "setup.py", "setup.py.bak"]
    # and the returncode
    assert r.returncode == 0

    # to capture the output we'll need a pipe
    # call ls -l and pipe the output
    tid = async_task("subprocess.run", ["ls", "-l"], stdout=PIPE)
    work()
    # get the result
    res = result(tid, 500)
    assert b"setup.py.bak" in res.stdout


def test_signals(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django.dispatch import receiver
    from django_q.signals import post_execute, pre_enqueue, pre_execute
    from django_q.tasks import async_task

    @receiver(pre_enqueue)
    def my_pre_enqueue_callback(sender: Any, task: Any, **kwargs: Any) -> None:
        print(f"Task {task['name']} will be queued")

    @receiver(pre_execute)
    def my_pre_execute_callback(sender: Any, func: Any, task: Any, **kwargs: Any) -> None:
        print(f"Task {task['name']} will be executed by calling {func}")

    @receiver(post_execute)
    def my_post_execute_callback(sender: Any, task: Any, **kwargs: Any) -> None:
        print(f"Task {task['name']} was executed with result {task['result']}")

    try:
        async_task("math.floor", 1.5, task_name="floor")
        work()
    finally:
        pre_enqueue.disconnect(my_pre_enqueue_callback)
        pre_execute.disconnect(my_pre_execute_callback)
        post_execute.disconnect(my_post_execute_callback)
    assert capsys.readouterr().out.splitlines() == [
        "Task floor will be queued",
        "Task floor will be executed by calling <built-in function floor>",
        "Task floor was executed with result 1",
    ]


def test_many_with_functions_and_objects(work: Work) -> None:
    """As the manual's Parzen windows, with a small grid in the place of numpy's arrays."""
    from django_q.tasks import async_iter, async_task, delete_group, result, result_group

    from tests.compat.project.market.tasks import Basket

    delete_group("totals", cached=True) if result_group("totals", cached=True) else None
    prices = [[float(i + j) for j in range(3)] for i in range(20)]
    for row in prices:
        async_task(Basket.total, *row, group="totals", cached=True)
    work()
    totals = result_group("totals", count=20, cached=True)
    assert sorted(totals) == [sum(row) for row in prices]
    result_id = async_iter(Basket.total, [tuple(row) for row in prices], cached=True)
    work()
    assert sorted(result(result_id, wait=10000, cached=True)) == sorted(totals)


def test_the_monitor_and_the_health_check(manual: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.conf import Conf
    from django_q.monitor import Stat

    class HealthCheckServer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Count the clusters and their status
            happy_clusters = 0
            total_clusters = 0

            for stat in Stat.get_all():
                total_clusters += 1
                if stat.status in [Conf.IDLE, Conf.WORKING]:
                    happy_clusters += 1

            # Return 200 response if there is at least 1 cluster running,
            # and make sure all running clusters are happy
            response_code = 200 if total_clusters and happy_clusters == total_clusters else 500

            self.send_response(response_code)
            self.send_header("Content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>%d of %d happy</p>" % (happy_clusters, total_clusters))

        def log_message(self, *args: Any) -> None:
            pass

    def check() -> int:
        server = HTTPServer(("localhost", 0), HealthCheckServer)
        asking = HTTPConnection("localhost", server.server_port)
        answers: list[int] = []

        def ask() -> None:
            asking.request("GET", "/")
            answers.append(asking.getresponse().status)
            asking.close()

        asker = threading.Thread(target=ask)
        asker.start()
        server.handle_request()
        asker.join()
        server.server_close()
        return answers[0]

    assert check() == 500
    with manual.connect() as connection:
        worker = factories.worker(connection, "alive")
        connection.execute("SELECT pgqueue.tell_children(%s, '{11,12}', 3)", (worker,))
    assert check() == 200

    for stat in Stat.get_all():
        print(stat.cluster_id, stat.status)

    # or if you know the cluster id
    cluster_id = Stat.get_all()[0].cluster_id
    stat = Stat.get(cluster_id)
    print(stat.status, stat.workers)
    assert capsys.readouterr().out == f"{cluster_id} Idle\nIdle [11, 12]\n"
