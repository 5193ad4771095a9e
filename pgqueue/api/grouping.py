"""What an app does about groups and flows."""

from collections.abc import Sequence
from typing import Unpack

from pgqueue.api.checks import check_id, check_page
from pgqueue.api.clients import Clients
from pgqueue.api.flows import Flow, enqueue_flow
from pgqueue.api.groups import GroupHandle, GroupWords, creation
from pgqueue.core.group import Progress
from pgqueue.db.statements.groups import list_groups


class Grouping:
    """What an app does about groups and flows; a part of `PgQueue`."""

    _clients: Clients

    def group(
        self,
        name: str | None = None,
        *,
        parent: object = None,
        connection: object = None,
        **words: Unpack[GroupWords],
    ) -> GroupHandle:
        """Make a group; see `pgqueue.group`."""
        statement = creation(name, parent, words)
        return GroupHandle(self._clients.sync.run(statement, connection), self._clients, connection)

    async def agroup(
        self,
        name: str | None = None,
        *,
        parent: object = None,
        connection: object = None,
        **words: Unpack[GroupWords],
    ) -> GroupHandle:
        """Make a group; see `pgqueue.group`."""
        found = await self._clients.asynchronous.run(creation(name, parent, words), connection)
        return GroupHandle(found, self._clients, connection)

    def groups(self, *, limit: int = 100) -> list[Progress]:
        """Read how far groups are, the newest first."""
        check_page(None, None, limit)
        return self._clients.sync.run(list_groups(limit))

    async def agroups(self, *, limit: int = 100) -> list[Progress]:
        """Read how far groups are; see `groups`."""
        check_page(None, None, limit)
        return await self._clients.asynchronous.run(list_groups(limit))

    def get_group(self, group_id: int) -> GroupHandle:
        """Give a handle for a group whose id is known; asks nobody whether there is one."""
        return GroupHandle(check_id(group_id), self._clients)

    def enqueue_flow(
        self,
        flow: Flow,
        *,
        connection: object = None,
        group: object = None,
        before: Sequence[object] = (),
        inside: object = None,
    ) -> GroupHandle:
        """Enqueue a flow in this app's database; see `Flow.enqueue`."""
        return enqueue_flow(self._clients, flow, connection, group, before, inside)
