"""What `--app` names is imported, and the app found."""

from pathlib import Path

import pytest

from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.api.loading import is_from_inside, load_apps
from pgqueue.core.errors import ConfigurationError

APP = "from pgqueue import PgQueue\napp = PgQueue('dbname=x')\n"


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    sources = {
        "tasks": "import pgqueue\n@pgqueue.task\ndef f(): ...\n",
        "app": APP + "other = app\n@app.task\ndef g(): ...\n",
        "two": APP + "second = PgQueue('dbname=y')\n",
        "refused": "import pgqueue\n@pgqueue.task(priority='high')\ndef f(): ...\n",
        "broken": "import nowhere_to_be_found\n",
    }
    for name, source in sources.items():
        (tmp_path / f"loading_{name}.py").write_text(source)


def test_modules_alone_belong_to_the_default_app() -> None:
    assert load_apps([]) is default_app()
    assert load_apps(["loading_tasks"]) is default_app()
    assert "loading_tasks.f" in registry


def test_an_app_is_found_or_named() -> None:
    found = load_apps(["loading_tasks", "loading_app"])
    assert found.dsn == "dbname=x"
    assert "loading_app.g" in found.registry
    assert load_apps(["loading_app:app"]) is found
    assert load_apps(["loading_two:second", "loading_app"]).dsn == "dbname=y"


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["loading_two"], "2 were found; name one"),
        (["loading_two:app", "loading_two:second"], "2 were found; name one"),
        (["loading_tasks:f"], "must name an app, a PgQueue; it is a value of type Task"),
        (["loading_app:ap"], "did you mean 'app'"),
        (["loading_nothing"], "there is no module 'loading_nothing'"),
        (["load ing"], "dotted path"),
    ],
)
def test_wrong_targets(targets: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_apps(targets)


def test_an_error_inside_a_module_comes_through() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        load_apps(["loading_broken"])


@pytest.mark.parametrize(
    ("target", "inside"),
    [("loading_broken", True), ("loading_refused", True), ("loading_nothing", False)],
)
def test_an_error_is_known_to_come_from_inside(target: str, inside: bool) -> None:
    with pytest.raises((ModuleNotFoundError, ConfigurationError)) as caught:
        load_apps([target])
    assert is_from_inside(caught.value) is inside
