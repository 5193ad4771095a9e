"""What the tests of an application need: run its jobs here and now, and look at what it enqueued.

    from pgqueue.testing import assert_enqueued, drain, inline

    def test_an_order(client):
        client.post("/orders", {"item": 7})
        assert_enqueued(send_receipt, args=[1])
        drain()                                    # runs the receipt in this process

Everything goes over the connection that the app uses; in Django that is the test's own, so it works
inside the transaction of a `TestCase`, which commits nothing. Tasks run as in a worker, but for
their timeouts; there is no worker and no wait.
"""

from pgqueue.testing.draining import drain
from pgqueue.testing.inline import inline
from pgqueue.testing.looking import assert_enqueued, assert_not_enqueued, enqueued

__all__ = ["assert_enqueued", "assert_not_enqueued", "drain", "enqueued", "inline"]
