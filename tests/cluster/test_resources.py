"""What a batch's job asks a cluster for."""

import pytest

from ensemake.cluster.resources import batch_resources
from ensemake.config.batch import BatchSettings
from ensemake.config.schema import Resource


@pytest.mark.parametrize(
    ("member", "size"),
    [
        ({"mem_mb": 500}, "mem=2000mb"),
        ({"mem_mb_per_cpu": 300, "cpus_per_task": 2}, "mem=1200mb"),
        ({"mem_mb": 500, "mem_mb_per_cpu": 300, "cpus_per_task": 2}, "mem=1200mb"),
    ],
)
def test_a_pbs_node_has_memory_for_all_that_fit(member: dict[str, Resource], size: str) -> None:
    batch = BatchSettings(batch_args={"ncpus": 4})
    assert size in str(batch_resources(batch, member)["pbs_extra"]).split()
