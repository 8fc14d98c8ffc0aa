"""Spark DataFrames on the driver: what is one, its columns, and the lazy one that it becomes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from nextrec.data.files import require_columns
from nextrec.data.processing import executors
from nextrec.data.processing.recipe import Recipe
from nextrec.data.processing.shipping import recipe_to_bytes
from nextrec.data.sources import frame_kind
from nextrec.errors import ConfigError, invalid


def is_spark_frame(data: Any) -> bool:
    """Whether the data is a Spark DataFrame, of a classic or a Connect session.

    Raises:
        ConfigError: it is neither that nor paths.
    """
    if type(data).__module__.split(".")[0] == "pyspark":
        return True
    kind = frame_kind(data)
    if kind != "files":
        must_be = "paths of files or a Spark DataFrame for engine 'spark'"
        advice = " For data in memory set `processor.engine = 'local'`."
        raise ConfigError(invalid("DataProcessor", "data", must_be, kind) + advice)
    return False


def numbered_columns(frame: Any) -> Any:
    """The frame with columns ``c0, c1...``: Spark misreads names with dots, and those twice."""
    return frame.toDF(*(f"c{place}" for place in range(len(frame.columns))))


def checked_columns(recipe: Recipe, data: Any, fitted: bool) -> list[str]:
    """The names of the frame's columns, among them those that the recipe needs.

    Raises:
        DataError: a column is missing, or two have one name.
    """
    names = list(data.columns)
    recipe.runnable(names, fitted)
    require_columns(names, names, "the data")
    return names


def lazily_transformed(recipe: Recipe, data: Any, chunk: int, fitted: bool) -> Any:
    """The transformed frame; carried columns keep their types."""
    from pyspark.sql.types import StructField, StructType

    described = recipe_to_bytes(recipe, learned=True)
    names = checked_columns(recipe, data, fitted)
    fields = {field.name: field for field in data.schema.fields}
    for name, each in recipe.runnable(names, fitted).items():
        fields[name] = StructField(name, spark_type(each.output_type), nullable=True)
    work = executors.transform_partition(described, names, chunk, fitted)
    return numbered_columns(data).mapInArrow(work, StructType(list(fields.values())))


def spark_type(data_type: pa.DataType) -> Any:
    """Spark's type of what transforms make."""
    from pyspark.sql import types

    if pa.types.is_list(data_type):
        return types.ArrayType(spark_type(data_type.value_type))
    made = {
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
    }
    if data_type not in made:
        must_be = "int32, int64, float32, float64 or a list of these"
        raise ConfigError(invalid("DataProcessor", "output_type", must_be, str(data_type)))
    return made[data_type]
