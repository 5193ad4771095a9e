"""Flows and chains: jobs that run after each other, enqueued with one statement."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Unpack

from pgqueue.api.clients import Clients
from pgqueue.api.groups import GroupHandle, GroupWords, described
from pgqueue.core.composition import RUN_IF, to_id
from pgqueue.core.context import Context
from pgqueue.core.errors import BadArgumentsError, ConfigurationError, shown, suggest
from pgqueue.db.statements import groups
from pgqueue.db.statements.adding import JobSpec, flow_item
from pgqueue.db.statements.base import Statement

#: What `results` may say.
Results = Literal["auto", "args", "list"] | None

_RESULTS: Final = ("auto", "args", "list", None)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Stand for a job of a flow, for others to run after.

    Attributes:
        place: in the order in which they were added, from 0.
        name: what the flow calls it; None for nothing.
    """

    place: int
    name: str | None = None


@dataclass(slots=True)
class _Item:
    spec: JobSpec
    name: str | None
    after: list[Node | str]
    run_if: str | None
    results: Results


class Flow:
    """Put jobs together that run after each other: any graph without a circle.

    Args:
        name: for people.
        words: `on_success`, `on_failure`, `on_finish` and `meta` of the whole flow.

    Raises:
        ConfigurationError: a word is wrong.
    """

    def __init__(self, name: str | None = None, **words: Unpack[GroupWords]) -> None:
        self._name = name
        self._callbacks, self._meta = described(words)
        self._items: list[_Item] = []
        self._nodes: list[Node] = []
        #: Whether no jobs at all are a group that has ended, instead of a mistake.
        self._may_be_empty = False
        self._names: set[str] = set()

    def __len__(self) -> int:
        return len(self._items)

    def add(
        self,
        job: JobSpec,
        *,
        after: "Node | str | Iterable[Node | str]" = (),
        name: str | None = None,
        run_if: str | None = None,
        results: Results = "auto",
    ) -> Node:
        """Add a job.

        Args:
            job: what `task.job(…)` made; arguments that the results of other jobs give it may be
                left out.
            after: the jobs that it runs after: what `add` gave for them, or their names, which may
                also be added later.
            name: what others may call it.
            run_if: what must have become of the jobs it runs after: `"succeeded"` (the default;
                else it is cancelled), `"finished"`, whatever became of them, or `"failed"`, one of
                them has not succeeded (else it is skipped): a fallback.
            results: how it is given the results of the jobs it runs after: `"args"`, one argument
                each before its own; `"list"`, all of them as its first argument; None, not at
                all; `"auto"`, as `"args"` where the task can be called so.

        Raises:
            BadArgumentsError: it is no job, or its task cannot be called so.
            ConfigurationError: another argument is wrong.
        """
        if type(job) is not JobSpec:
            raise BadArgumentsError(
                f"a flow is made of what task.job(…) makes; got a value of type "
                f"{type(job).__name__}"
            )
        before = [after] if isinstance(after, Node | str) else list(after)
        for one in before:
            if not isinstance(one, str) and not self._has(one):
                raise ConfigurationError(
                    "after must name jobs of this flow: what add() gave for them, or their names; "
                    f"got {shown(one)}"
                )
        if run_if is not None and run_if not in RUN_IF:
            near = suggest(run_if, RUN_IF) if isinstance(run_if, str) else ""
            raise ConfigurationError(
                f"run_if must be one of {', '.join(RUN_IF)}; got {shown(run_if)}{near}"
            )
        if results not in _RESULTS:
            raise ConfigurationError(
                f"results must be auto, args, list or None; got {shown(results)}"
            )
        if name is not None and (not isinstance(name, str) or not name):
            raise ConfigurationError(f"name must be a non-empty string; got {shown(name)}")
        if name is not None and name in self._names:
            raise ConfigurationError(f"the names in a flow must differ; got {shown(name)} twice")
        if job.unique_key is not None or job.is_unique:
            raise ConfigurationError(
                f"a job of a flow must have no unique key, since nothing could run after one that "
                f"is left out as a duplicate; got a job of {job.task}; let a job of the flow "
                "enqueue it"
            )
        if job.options.after:
            raise ConfigurationError(
                f"a job of a flow must have no after= of its own; got a job of {job.task}; give "
                "after= to add()"
            )
        chosen = _chosen(job, len(before), results)
        if name is not None:
            self._names.add(name)
        self._items.append(_Item(job, name, before, run_if if before else None, chosen))
        self._nodes.append(Node(len(self._nodes), name))
        return self._nodes[-1]

    def _has(self, node: object) -> bool:
        return isinstance(node, Node) and any(node is one for one in self._nodes[node.place :][:1])

    def _items_as_json(self) -> list[str]:
        """Write the jobs as `pgqueue.enqueue_flow` takes them.

        Raises:
            ConfigurationError: a name is nobody's.
        """
        places = {item.name: n for n, item in enumerate(self._items) if item.name is not None}
        written = []
        for item in self._items:
            after = []
            for one in item.after:
                if isinstance(one, str):
                    if one not in places:
                        raise ConfigurationError(
                            f"no job of the flow is named {shown(one)}{suggest(one, places)}"
                        )
                    after.append(places[one])
                else:
                    after.append(one.place)
            written.append(
                flow_item(
                    item.spec,
                    name=item.name,
                    after=after,
                    run_if=item.run_if,
                    results_as=item.results,
                )
            )
        return written

    def _statement(
        self, group: object = None, before: Sequence[object] = (), inside: object = None
    ) -> Statement[tuple[int, list[int]]]:
        """Give the call that enqueues it.

        Raises:
            ConfigurationError: it is empty, or its words do not go with a group that is given.
        """
        if not self._items and self._may_be_empty:
            return groups.empty_group(self._name, self._callbacks, self._meta)
        if not self._items:
            raise ConfigurationError("a flow must have at least one job; got none")
        if not (group is None and inside is None) and (self._name or self._callbacks or self._meta):
            raise ConfigurationError(
                "a flow that is added to a group must have no name, callbacks or meta of its own"
            )
        running = inside.job_id if isinstance(inside, Context) else inside
        return groups.enqueue_flow(
            self._items_as_json(),
            name=self._name,
            callbacks=self._callbacks,
            meta=self._meta,
            group=None if group is None else to_id(group, "group", "a group or its id"),
            before=[to_id(job, "before", "jobs or their ids") for job in before],
            inside=None
            if running is None
            else to_id(running, "inside", "the context of a running job, or its id"),
        )

    def enqueue(
        self,
        *,
        connection: object = None,
        group: object = None,
        before: Sequence[object] = (),
        inside: object = None,
    ) -> GroupHandle:
        """Enqueue the flow with one statement: all of it or nothing.

        Args:
            connection: yours, as in `Task.using`.
            group: a group, or its id, that its jobs join; None for one of their own.
            before: jobs, or their ids, of a flow that still wait, and from now on for the last jobs
                of this one too.
            inside: the Context of a running job: the flow joins its group, and the jobs behind it
                in its own flow wait for this one too.

        Returns:
            The flow as a group; its `job_ids` are in the order in which the jobs were added.

        Raises:
            ConfigurationError: the flow is empty, or a name in it is nobody's.
            RefusedJobError: its jobs wait for each other in a circle, which is named; or the
                server refused one of them.
            JobStateError: a job of `before` does not wait any more, or that of `inside` does not
                run.
        """
        return enqueue_flow(_default[-1](), self, connection, group, before, inside)

    async def aenqueue(
        self,
        *,
        connection: object = None,
        group: object = None,
        before: Sequence[object] = (),
        inside: object = None,
    ) -> GroupHandle:
        """Enqueue the flow with one statement; see `enqueue`."""
        return await aenqueue_flow(_default[-1](), self, connection, group, before, inside)


#: What gives the clients of the default app, which is made further up.
_default: list[Callable[[], Clients]] = []


def use_default(clients: Callable[[], Clients]) -> None:
    """Say where flows go that belong to no app."""
    _default[:] = [clients]


def enqueue_flow(
    clients: Clients,
    flow: Flow,
    connection: object = None,
    group: object = None,
    before: Sequence[object] = (),
    inside: object = None,
) -> GroupHandle:
    """Enqueue a flow with one statement."""
    made, ids = clients.sync.run(flow._statement(group, before, inside), connection)
    return GroupHandle(made, clients, connection, tuple(ids))


async def aenqueue_flow(
    clients: Clients,
    flow: Flow,
    connection: object = None,
    group: object = None,
    before: Sequence[object] = (),
    inside: object = None,
) -> GroupHandle:
    """Enqueue a flow with one statement, from a coroutine."""
    made, ids = await clients.asynchronous.run(flow._statement(group, before, inside), connection)
    return GroupHandle(made, clients, connection, tuple(ids))


def chained(jobs: Sequence[JobSpec], name: str | None, words: GroupWords) -> Flow:
    """Make a flow in which each job runs after the one before, and is given its result."""
    flow = Flow(name, **words)
    last: Node | None = None
    for job in jobs:
        last = flow.add(job, after=() if last is None else last)
    return flow


def _chosen(job: JobSpec, parents: int, results: Results) -> Results:
    """Decide how the results are given, and check that the task can be called so."""
    if not parents or results is None:
        if job.complaint:
            raise BadArgumentsError(job.complaint)
        return None
    if job.complain is None:
        return "args" if results == "auto" else results
    given = 1 if results == "list" else parents
    wrong = job.complain(given)
    if not wrong:
        return "args" if results == "auto" else results
    if results == "auto" and not job.complaint:
        return None
    if results == "auto" and not job.complain(1):
        raise BadArgumentsError(
            f"{wrong} with the results of the {parents} jobs before; say results='list' to give "
            "them as one list"
        )
    before = "result of the job" if parents == 1 else f"results of the {parents} jobs"
    raise BadArgumentsError(f"{wrong} with the {before} before")
