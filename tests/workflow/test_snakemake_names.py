"""Names of Snakemake's own that we rely on: a test tells when they move."""

from inspect import signature

from snakemake.common import get_function_params
from snakemake.executors.local import Executor

from ensemake.workflow.entity import EntityRules


def test_snakemake_takes_the_parameters_that_a_function_says() -> None:
    assert list(get_function_params(EntityRules.digest)) == [
        "wildcards"
    ]  # inspected: self, wildcards
    assert list(get_function_params(EntityRules.plan)) == ["self", "wildcards"]


def test_snakemakes_own_executor_starts_a_job_by_a_method_that_ours_has() -> None:
    assert list(signature(Executor.run_single_job).parameters) == ["self", "job"]
