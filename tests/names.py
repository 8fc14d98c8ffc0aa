"""Names of parametrised tests, which must be the same in every worker process."""

from __future__ import annotations

import re


def without_addresses(value: object) -> str:
    """The value as text, less the memory addresses of objects in it."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
