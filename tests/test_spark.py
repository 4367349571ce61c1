"""What Spark answers, in local mode: the statement for it, and record batches that it hands to Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import RateCard, estimate_batches, shipped_card, sql
from tests.frames import large_cards, priced_tables, prices_of

pytestmark = [
    pytest.mark.external,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyspark"),
    pytest.mark.filterwarnings("ignore::FutureWarning:pyspark"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session of Spark within this machine, on the Java that is on PATH."""
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        session = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
        yield session
        gateway = session.sparkContext._gateway
        session.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()  # Java ends with its input, and nothing is left open
        gateway.proc.wait(timeout=60)


def frame_of(spark: Any, table: pa.Table) -> Any:
    """The table in Spark, its runs numbered, since Spark keeps no order."""
    return spark.createDataFrame(table.append_column("run", pa.array(range(len(table)), pa.int64())))


@settings(max_examples=15)
@given(priced=st.one_of(priced_tables(), priced_tables(large_cards())), ansi=st.booleans())
def test_spark_charges_what_the_scalar_program_charges(spark: Any, priced: Any, ansi: bool) -> None:
    card, (table, plans) = priced
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    frame_of(spark, table).createOrReplaceTempView("runs")
    rows = spark.sql(sql(card, "spark", table.column_names, keep=["run"])).collect()
    assert [row["credits_micro"] for row in sorted(rows, key=lambda row: row["run"])] == prices_of(plans, card)


@settings(max_examples=5)
@given(priced=priced_tables())
def test_spark_hands_record_batches_to_the_kernel_unchanged(spark: Any, priced: Any) -> None:
    from pyspark.sql.types import LongType, StructField, StructType

    card, (table, plans) = priced
    frame = frame_of(spark, table)
    schema = StructType([*frame.schema.fields, StructField("credits_micro", LongType())])
    rows = frame.mapInArrow(estimate_batches(card), schema).collect()
    assert [row["credits_micro"] for row in sorted(rows, key=lambda row: row["run"])] == prices_of(plans, card)


def test_spark_charges_no_run_that_has_no_price(spark: Any) -> None:
    card: RateCard = shipped_card("example")
    frame_of(spark, pa.table({"rows": pa.array([5, None], pa.int64())})).createOrReplaceTempView("runs")
    with pytest.raises(Exception, match="rows is null"):
        spark.sql(sql(card, "spark", ["rows"])).collect()
