"""Names of Snakemake's own that we rely on: a test tells when they move."""

import sys
from inspect import signature

import pandas as pd
import pytest
from snakemake.common import get_function_params
from snakemake.executors.local import Executor
from snakemake.persistence import PersistenceBase
from snakemake.persistence.file import FilePersistence

from ensemake.workflow.entity import EntityRules
from ensemake.workflow.experiment import serialize_without_pandas


def test_snakemake_takes_the_parameters_that_a_function_says() -> None:
    assert list(get_function_params(EntityRules.digest)) == [
        "wildcards"
    ]  # inspected: self, wildcards
    assert list(get_function_params(EntityRules.plan)) == ["self", "wildcards"]


def test_params_are_recorded_as_ever_and_pandas_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    own = FilePersistence.__new__(FilePersistence)
    values = ["text", 1, [1, "b"], None, pd.DataFrame({"x": [1, 2]}), pd.Series([1.5])]
    as_ever = PersistenceBase._serialize_param
    monkeypatch.setattr(PersistenceBase, "_serialize_param", as_ever)  # and again at the end
    expected = [as_ever.fget(own)(value) for value in values]
    serialize_without_pandas()
    assert PersistenceBase._serialize_param is not as_ever
    assert [own._serialize_param(value) for value in values] == expected

    monkeypatch.delitem(sys.modules, "pandas")
    assert [own._serialize_param(value) for value in values[:4]] == expected[:4]
    assert "pandas" not in sys.modules


def test_snakemakes_own_executor_starts_a_job_by_a_method_that_ours_has() -> None:
    assert list(signature(Executor.run_single_job).parameters) == ["self", "job"]
