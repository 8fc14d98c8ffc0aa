"""The Spark session, and what to do when there is none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nextrec.errors import MissingDependencyError, NextRecError


def session() -> Any:
    """The active Spark session; without one, a new one by Spark's own settings.

    Raises:
        MissingDependencyError: pyspark is not installed.
        NextRecError: there is no Java to run Spark.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingDependencyError("pyspark", "spark", "DataProcessor with Spark") from error
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    # Executors take the first python3 of the PATH otherwise, which may lack every package.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        return SparkSession.builder.appName("nextrec").getOrCreate()
    except Exception as error:
        if "JAVA_GATEWAY_EXITED" in str(error) or isinstance(error, FileNotFoundError):
            raise NextRecError(
                "Spark can't start: it needs Java 17 or newer, named by JAVA_HOME or found on the "
                "PATH. Install a JRE, for example openjdk-17-jre-headless, or use engine 'local'."
            ) from error
        raise


@contextmanager
def acting() -> Iterator[None]:
    """Say what to do when executors lack a package; other errors of Spark are Spark's."""
    try:
        yield
    except Exception as error:
        lacking = re.search(r"ModuleNotFoundError: No module named '([^']+)'", str(error))
        if lacking is None:
            raise
        raise NextRecError(
            f"Spark's executors run a Python without {lacking[1]!r}: install NextRec there, and "
            "set PYSPARK_PYTHON to that Python before the Spark session starts."
        ) from error
