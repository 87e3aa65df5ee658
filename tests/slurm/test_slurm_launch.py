"""MPI programs over two nodes, several programs in one launch, and allocations of one's own."""

import shutil
import subprocess
from pathlib import Path

import pytest
from slurm_cluster import Cluster
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

# Every process adds its rank; the first writes the sum, the size, and all nodes.
PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
  int rank, size, sum;
  char node[64] = {0}, nodes[64 * 64];
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  strncpy(node, getenv("SLURMD_NODENAME") ? getenv("SLURMD_NODENAME") : "none", 63);
  MPI_Gather(node, 64, MPI_CHAR, nodes, 64, MPI_CHAR, 0, MPI_COMM_WORLD);
  if (rank == 0) {
    FILE *file = fopen("sum.txt", "w");
    fprintf(file, "%d %d", size, sum);
    for (int i = 0; i < size; i++) fprintf(file, " %s", nodes + 64 * i);
    fclose(file);
  }
  MPI_Finalize();
}
"""


@pytest.fixture(scope="session")
def mpi_program(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mpi")
    (folder / "sum.c").write_text(PROGRAM)
    # MPICH speaks Slurm's own PMI; PMIx cannot have two nodes on one machine, as here
    subprocess.run(["mpicc.mpich", "-o", "sum", "sum.c"], cwd=folder, check=True)
    return folder / "sum"


def test_mpi_over_two_nodes_alone_and_in_a_batch(project: SlurmProject, mpi_program: Path) -> None:
    for name, more in {"alone": {}, "batch": {"batch_settings": {"nodes": 2}}}.items():
        project.ensemble(
            name,
            params={"n": [2, 4]},
            outputs=["sum.txt"],
            run_settings={"exe": str(mpi_program), "run_args": {"mpi": "pmi2"}},
            resources={"nodes": 2, "tasks": "{{ n }}", "mem_mb": 600, "runtime": 5},
            **more,
        )
    project.finish()
    for name in ("alone", "batch"):
        for n, total in {2: 1, 4: 6}.items():
            size, ranks, *nodes = (project.member(name, n=n) / "sum.txt").read_text().split()
            assert (int(size), int(ranks)) == (n, total)
            assert set(nodes) == {"n1", "n2"}  # how many on each is Slurm's to say


def test_several_programs_in_one_launch(project: SlurmProject, mpi_program: Path) -> None:
    other = project.folder / "other"
    shutil.copy(mpi_program, other)
    # where there is another MPI too, that of the program
    mpirun = project.write("mpirun", '#!/bin/sh\nexec mpirun.mpich "$@"\n', mode=0o755)
    for launcher, options in {"srun": {"mpi": "pmi2"}, str(mpirun): {}}.items():
        project.ensemble(
            Path(launcher).name,
            params={"x": [1]},
            outputs=["sum.txt"],
            run_settings={
                "exe": str(mpi_program),
                "run_command": launcher,
                "run_args": options,
                "mpmd": [{"exe": str(other), "tasks": 2}],
            },
            resources={"nodes": 2, "tasks": 4, "mem_mb": 600, "runtime": 5},
        )
    project.finish()
    texts = [(project.member(name, x=1) / "sum.txt").read_text() for name in ("srun", "mpirun")]
    assert all(text.startswith("4 6 ") for text in texts)  # one world of both programs
    assert set(texts[0].split()[2:]) == {"n1", "n2"}  # mpirun gives all the first one's variables


WHERE = """\
#!/bin/bash
echo "$EPOCHREALTIME 1" > times
echo "$SLURMD_NODENAME" > where
sleep 0.5
echo "$EPOCHREALTIME -1" >> times
"""


@pytest.mark.parametrize("how", ["sbatch", "salloc"])
def test_members_are_steps_of_an_allocation(
    slurm: Cluster, project: SlurmProject, how: str
) -> None:
    project.write("where.sh", WHERE, mode=0o755)
    project.ensemble(params={"x": list(range(10))}, outputs=[], run_settings={"exe": "./where.sh"})
    project.save()
    options = ("--nodes=2", "--ntasks=6", "--mem=2000")
    # from the environment of the project: it finds this Python and the clients
    script = " ".join(project.command(profile="local"))
    script = f"export PATH={project.environment['PATH']}; {script}"
    if how == "sbatch":
        jobid = slurm.submit(script, *options, cwd=project.folder)
        assert slurm.wait(jobid) == "COMPLETED", (project.folder / "job.log").read_text()
    else:
        slurm.run("salloc", *options, "bash", "-c", f"{script} 2>&1", cwd=project.folder)
    members = list((project.results / "sweep").glob("*/status.json"))
    assert len(members) == 10
    where = {(path.parent / "where").read_text() for path in members}
    assert where == {"n1\n", "n2\n"}
    texts = [(path.parent / "times").read_text() for path in members]
    pairs = sorted(tuple(line.split()) for text in texts for line in text.splitlines())
    running = most = 0
    for _, change in pairs:
        running += int(change)
        most = max(most, running)
    assert 2 <= most <= 6
