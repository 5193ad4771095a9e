"""Which dotted paths may run, and what is said of the others."""

import pytest


@pytest.mark.usefixtures("market")
def test_a_function_of_an_app_of_the_project_may_run() -> None:
    from pgqueue.compat import paths
    from tests.compat.project.market import tasks

    assert paths.resolve("tests.compat.project.market.tasks.echo") is tasks.echo
