"""Packages: any Python value as signed text.

Only what was signed with this project's SECRET_KEY, or with one of its SECRET_KEY_FALLBACKS, is
opened; the name of the cluster is part of the signature, as it always was.
"""

import pickle
from typing import Any

from django.conf import settings
from django.core import signing

from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.pickles import PickleRefusedError
from pgqueue.django import conf as native

BadSignature = signing.BadSignature


class PickleSerializer:
    """Write a value as bytes, for `django.core.signing`."""

    @staticmethod
    def dumps(obj: Any) -> bytes:
        """Write it."""
        return pickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Read it; the signature has been checked."""
        return pickle.loads(data)


class SignedPackage:
    """Sign values, and open what was signed."""

    @staticmethod
    def dumps(obj: Any, compressed: bool | None = None) -> str:
        """Write a value.

        Args:
            obj: anything that can be pickled.
            compressed: whether to make it smaller; None for `Q_CLUSTER["compress"]`.
        """
        text: str = signing.dumps(
            obj,
            key=Conf.SECRET_KEY,
            salt=Conf.PREFIX,
            serializer=PickleSerializer,
            compress=Conf.COMPRESSED if compressed is None else compressed,
        )
        return text

    @staticmethod
    def loads(obj: str) -> Any:
        """Open a package.

        Raises:
            BadSignature: it was not signed here.
            PickleRefusedError: `PGQUEUE["PICKLE"]` is False.
        """
        if not native.pickle():
            raise PickleRefusedError('packages are not opened: PGQUEUE["PICKLE"] is False')
        return signing.loads(
            obj,
            key=Conf.SECRET_KEY,
            salt=Conf.PREFIX,
            serializer=PickleSerializer,
            fallback_keys=list(settings.SECRET_KEY_FALLBACKS),
        )
