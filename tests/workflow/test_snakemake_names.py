"""Names of Snakemake's own that we rely on: a test tells when they move."""

from snakemake.common import get_function_params

from ensemake.workflow.entity import EntityRules


def test_snakemake_takes_the_parameters_that_a_function_says() -> None:
    assert list(get_function_params(EntityRules.digest)) == [
        "wildcards"
    ]  # inspected: self, wildcards
    assert list(get_function_params(EntityRules.plan)) == ["self", "wildcards"]
