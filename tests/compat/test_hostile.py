"""Rows that somebody wrote who may write rows and no more: nothing of theirs is run or imported."""

import ast
import base64
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases import Database
from tests.helpers import ROOT

MARKET = "tests.compat.project.market"
FACADES = {"django_q": "default", "django_future": "django_future", "async": "async"}


def calls(trace: str) -> list[tuple[str, list[Any]]]:
    """Paths, and arguments with which they would leave a trace."""
    touch, code = f"touch {trace}", f"open({trace!r}, 'w')"
    words = ["touch", trace]
    return [
        ("os.system", [touch]), ("posix.system", [touch]), ("os.popen", [touch]),
        ("os.mkdir", [trace]), ("os.path.os.system", [touch]), ("os.makedirs", [trace]),
        ("subprocess.call", [words]), ("subprocess.run", [words]), ("subprocess.Popen", [words]),
        ("subprocess.getoutput", [touch]), ("builtins.eval", [code]), ("builtins.exec", [code]),
        ("builtins.open", [trace, "w"]), ("builtins.__import__", ["tests.compat.poison"]),
        ("eval", [code]), ("exec", [code]), ("open", [trace, "w"]), ("io.open", [trace, "w"]),
        ("_io.open", [trace, "w"]), ("codecs.open", [trace, "w"]), ("pathlib.Path.touch", [trace]),
        ("importlib.import_module", ["tests.compat.poison"]), ("pydoc.locate", [touch]),
        ("runpy.run_module", ["tests.compat.poison"]), ("shutil.copy", [__file__, trace]),
        ("shutil.copyfile", [__file__, trace]), ("pickle.loads", [touch]),
        ("multiprocessing.Process", []), ("pty.spawn", [words]), ("code.interact", []),
        ("timeit.timeit", [code]), ("cProfile.run", [code]), ("pdb.run", [code]),
        ("platform.os.system", [touch]), ("tempfile.mkdtemp", []), ("logging.FileHandler", [trace]),
        ("shelve.open", [trace]), ("sqlite3.connect", [trace]), ("zipfile.ZipFile", [trace, "w"]),
        ("tarfile.open", [trace, "w"]), ("webbrowser.open", ["x"]), ("ctypes.CDLL", ["x"]),
        ("asyncio.run", [code]), ("socket.create_server", [["127.0.0.1", 0]]),
        ("django.core.management.call_command", ["flush", "--no-input"]),
        ("django.core.management.execute_from_command_line", [["manage.py", "flush"]]),
        ("django.core.management.ManagementUtility", []),
        ("django.core.management.commands.flush.Command", []),
        ("django.core.files.storage.default_storage.save", [trace, "x"]),
        ("django.utils.module_loading.import_string", ["tests.compat.poison.run"]),
        ("django.contrib.auth.models.User.objects.create_superuser", ["root"]),
        ("django.db.connection.cursor", []), ("django.shortcuts.get_object_or_404", []),
        ("psycopg.connect", [""]), ("pgqueue.core.importing.import_module", ["this"]),
        ("tests.compat.poison.run", []), ("tests.helpers.run_cli", []), ("this.that", []),
        ("antigravity.geohash", []), (f"{MARKET}.traps.os.system", [touch]),
        (f"{MARKET}.traps.system", [touch]), (f"{MARKET}.traps.subprocess.call", [words]),
        (f"{MARKET}.traps.Traps.run", [words]), (f"{MARKET}.traps.Path", [trace]),
        (f"{MARKET}.traps.Path.touch", [trace]), (f"{MARKET}.traps.call_command", ["flush"]),
        (f"{MARKET}.traps.echo.__globals__", []), (f"{MARKET}.traps.__builtins__.eval", [code]),
        (f"{MARKET}.traps._system", [touch]), (f"{MARKET}.tasks.Basket.__init__", [1]),
        (f"{MARKET}.tasks.Basket.__class__", []), (f"{MARKET}.tasks.echo.__call__", []),
        (f"{MARKET}.models.Order.objects.create", []), (f"{MARKET}..tasks.echo", []),
        (f"{MARKET}.tasks.echo ", []), (f"{MARKET}.tasks:echo", []), (f"{MARKET}/tasks.echo", []),
        ("", []), (".", []), ("..", []), ("a" * 400, []), ("\u0391.b", []), ("__main__.main", []),
        ("sys.exit", []), ("sys.modules.clear", []), ("signal.raise_signal", [9]),
        ("django_q.cluster.WorkerProcess", [words, {}]), ("django_q.cluster.Cluster", []),
        ("django_q.signing.PickleSerializer.loads", [touch]),
        ("django_q.signing.SignedPackage.loads", [touch]), ("django_q.worker.worker", []),
        ("django_q.tasks.AsyncTask", ["os.system", touch]),
        ("async.management.commands.flush_queue.Command", []), ("async.models.Job.save", []),
        ("threading.Thread", []), ("gc.collect", []), ("inspect.getsource", []), ("site.main", []),
    ]  # fmt: skip


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "trace"
    monkeypatch.setenv("POISON", str(found))
    sys.modules.pop("tests.compat.poison", None)
    return found


def put(db: Database, task: str, queue: str, args: Any = (), **more: Any) -> None:
    row = {"task": task, "queue": queue, "args": json.dumps(list(args)), **more}
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    db.execute(f"INSERT INTO pgqueue.jobs ({names}) VALUES ({marks})", list(row.values()))


def run(market: Database, trace: Path) -> None:
    from pgqueue.compat import here

    before = set(sys.modules)
    ran = here.run(list(FACADES.values()))
    assert ran
    # A package of django-q that is not signed is thrown away, as it always was.
    wrong = [one for one in ran if one.state not in ("failed", "retry", "cancelled")]
    assert wrong == []
    assert not trace.exists()
    imported = set(sys.modules) - before
    assert not {"tests.compat.poison", "this", "antigravity"} & imported
    assert market.execute("SELECT count(*) FROM auth_user") == [(0,)]


@pytest.mark.parametrize("facade", FACADES)
def test_paths(market: Database, trace: Path, facade: str) -> None:
    meta = json.dumps({facade: {}})
    # What decides is the same for all three.
    some = calls(str(trace))[:: 1 if facade == "django_q" else 4]
    for path, args in some:
        put(market, f"{facade}:{path}", FACADES[facade], args, meta=meta)
    run(market, trace)
    [(count,)] = market.execute("SELECT count(*) FROM pgqueue.job_overview")
    assert count >= len(some)


class Bomb:
    """Leave a trace when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("facade", FACADES)
def test_pickles(market: Database, trace: Path, facade: str) -> None:
    data = base64.b64encode(pickle.dumps(Bomb(trace))).decode()
    task, queue = f"{facade}:{MARKET}.tasks.echo", FACADES[facade]
    for mac in ("", "0" * 64, "00"):
        sealed = {"$t": "pickle", "v": f"{mac}:{data}"}
        put(market, task, queue, [sealed], meta=json.dumps({facade: {}}))
        put(market, task, queue, meta=json.dumps({facade: {}}), kwargs=json.dumps({"a": [sealed]}))
        meta = {facade: {"callable": sealed, "hook": sealed, "args": sealed, "meta": sealed}}
        if facade == "django_q":
            put(market, task, queue, meta=json.dumps(meta))
    if facade == "django_q":
        for payload in (data, f"{data}:1abc:{'x' * 43}", "{}", '{"task": "os.system"}', ""):
            put(market, "django_q::package", queue, [payload])
    run(market, trace)


def test_hooks_and_chains(market: Database, trace: Path) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_q.models import Task

    for path in ("tests.compat.poison.run", f"{MARKET}.traps.system", "os.system", "_._", ""):
        meta = {"django_q": {"hook": path, "chain": [[path, [f"touch {trace}"]]], "save": True}}
        put(market, f"django_q:{MARKET}.tasks.echo", "default", meta=json.dumps(meta))
    here.run(["default"])
    assert Task.objects.filter(success=True).count() == 5
    assert not trace.exists()
    assert "tests.compat.poison" not in sys.modules


def test_schedules(market: Database, trace: Path) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_q.models import Schedule

    for path, args in (
        ("os.system", f"'touch {trace}'"),
        (f"{MARKET}.tasks.echo", f"open('{trace}', 'w')"),
        (f"{MARKET}.tasks.echo", f"__import__('os').system('touch {trace}')"),
        ("tests.compat.poison.run", "1"),
    ):
        market.execute(
            "INSERT INTO pgqueue.django_q_schedules (func, args, kwargs, schedule_type)"
            " VALUES (%s, %s, %s, 'O'), (%s, NULL, %s, 'O')",
            [path, args, None, path, f"x={args}"],
        )
    here.run(["default"])
    assert not trace.exists()
    assert "tests.compat.poison" not in sys.modules
    assert Schedule.objects.filter(error__isnull=False).count() >= 4


def ours() -> Iterator[str]:
    """Give the path of all that has a name in a module, or in a class of one, of our own apps."""
    for folder in ("compat", "django"):
        for file in sorted((ROOT / "pgqueue" / folder).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield from (f"{module}.{one.asname or one.name}" for one in node.names)
                elif isinstance(node, ast.Assign | ast.AnnAssign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    yield from (
                        f"{module}.{one.id}" for one in targets if isinstance(one, ast.Name)
                    )
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    yield f"{module}.{node.name}"
                if isinstance(node, ast.ClassDef):
                    inner = (one for one in node.body if isinstance(one, ast.FunctionDef))
                    yield from (f"{module}.{node.name}.{one.name}" for one in inner)


def test_nothing_of_our_own_runs_but_what_applications_call(shared_market: Database) -> None:
    import inspect

    from pgqueue.compat import alias, paths

    names = {package: name for name, package in alias.FACADES.items()}
    # That of a migration is no path.
    found = {one for one in ours() if all(part.isidentifier() for part in one.split("."))}
    assert "pgqueue.compat.django_q.cluster.WorkerProcess" in found
    assert "pgqueue.compat.django_q.signing.PickleSerializer.loads" in found
    assert "pgqueue.compat.django_q.cluster.subprocess" in found
    for path in found - paths.OWN:
        package = ".".join(path.split(".")[:3])
        old = path.replace(package, names.get(package, package))
        for one in {path, old}:
            with pytest.raises(paths.PathNotAllowedError, match=r"PGQUEUE\[\"ALLOW\"\]"):
                paths.resolve(one)
    for path in paths.OWN:
        function = paths.resolve(path)
        assert inspect.isfunction(function)
        assert (
            paths.path_of(function) in paths.OWN or path == "pgqueue.compat.django_async.schedule"
        )


def test_a_path_within_a_path_is_looked_at_too(market: Database, trace: Path) -> None:
    """What enqueues may be named by a job, but does not help around the check."""
    words = [f"touch {trace}"]
    for path, args, kwargs in (
        ("django_q.tasks.async_task", ["os.system", *words], {"sync": True}),
        ("django_q.tasks.async_task", ["os.system", *words], {"q_options": {"broker": "os"}}),
        ("django_q.tasks.async_task", [f"{MARKET}.traps.system", *words], {}),
        ("django_q.tasks.async_iter", ["os.system", words], {"sync": True}),
        ("django_q.tasks.async_chain", [[["os.system", words]]], {"sync": True}),
        ("django_q.tasks.schedule", ["os.system", *words], {}),
        ("django_q.cluster.WorkerProcess", [["touch", str(trace)], {}], {}),
    ):
        more = {"kwargs": json.dumps(kwargs), "meta": json.dumps({"django_q": {}})}
        put(market, f"django_q:{path}", "default", args, **more)
    put(market, "async:async.api.schedule", "async", ["os.system", words])
    start = ["0h", "os.system", None, "7d", words]
    put(market, "django_future:django_future.schedule_job", "django_future", start)
    run(market, trace)
