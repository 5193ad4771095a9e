"""Where this package logs."""

import logging

_logger = logging.getLogger("async")
