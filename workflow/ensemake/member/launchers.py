"""How a command is put on nodes: the launcher's words, in bash, for a member's run.sh.

`auto` is decided when run.sh runs, not when it is written: the same directory runs on a laptop, in
a Slurm job and in a PBS job.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from shlex import quote

from ensemake.config.schema import Program, RunSettings

MPI = ("mpirun", "mpiexec", "orterun")
STEPS = "ENSEMAKE_STEPS"  # set where run.sh itself runs beside the nodes, not on them
# The nodes that a batch set aside for this member; and if run.sh is in a step that holds the job's
# CPUs already, as the Slurm plugin starts it, the launcher's step waits for ever unless it shares.
PLACE = '${ENSEMAKE_NODELIST:+"--nodelist=$ENSEMAKE_NODELIST"} ${SLURM_STEP_ID:+--overlap}'
# Open MPI reads PBS's node file only if it was built for PBS, and it lists the whole job.
HOSTS = '${PBS_NODEFILE:+-machinefile "${ENSEMAKE_NODEFILE:-$PBS_NODEFILE}"}'
HOST_OPTIONS = {"machinefile", "hostfile", "hosts", "host", "f", "H"}
Needs = Mapping[str, int]  # nodes, tasks, cpus_per_task of one member

NO_LAUNCHER = "echo 'ensemake: {tasks} tasks want srun, mpirun or mpiexec; none is here' >&2"


def launch_lines(
    settings: RunSettings, needs: Needs, others: Sequence[Sequence[str]] = ()
) -> list[str]:
    """Return bash lines that set the array ``_ensemake_launch``, the words before the command.

    Several programs in one launch (MPMD) also have ``_ensemake_further``, the words after it.

    Parameters
    ----------
    settings
        ``run_command`` and ``run_args`` are used.
    needs
        ``nodes``, ``tasks`` and ``cpus_per_task`` of the member; 1 each if absent.
    others
        The commands of the further programs, as ``mpmd`` has them.
    """
    if others:
        return _several(settings, needs, others)
    launcher = settings.run_command
    if launcher == "none":
        return ["_ensemake_launch=()"]
    if launcher == "auto" and _is_serial(needs):
        return ["_ensemake_launch=()", _step(settings, needs)]
    if launcher != "auto":
        return [_array(launcher, settings, needs)]
    return _automatic(settings, needs)


def _is_serial(needs: Needs) -> bool:
    return needs.get("tasks", 1) == 1 and needs.get("nodes", 1) == 1


def _step(settings: RunSettings, needs: Needs) -> str:
    """In an allocation of several nodes a serial member is a step of its own."""
    array = _array("srun", settings, {**needs, "nodes": 1})
    return f'[ -z "${{{STEPS}:-}}" ] || {array}'


def _several(settings: RunSettings, needs: Needs, others: Sequence[Sequence[str]]) -> list[str]:
    """The first program has the tasks that the others leave."""
    sizes = {key: value for key, value in needs.items() if key == "cpus_per_task"}
    left = max(1, needs.get("tasks", 1) - sum(other.tasks for other in settings.mpmd))

    def lines(launcher: str) -> str:
        if _is_srun(launcher):
            return _by_rank(launcher, settings, needs, others)
        first = _array(launcher, settings, {**sizes, "tasks": left})
        pairs = zip(settings.mpmd, others, strict=True)
        parts = [": " + _part(launcher, other, sizes, words) for other, words in pairs]
        return f"{first}; _ensemake_further=({' '.join(parts)})"

    return (
        _choice(lines, needs) if settings.run_command == "auto" else [lines(settings.run_command)]
    )


def _by_rank(
    launcher: str, settings: RunSettings, needs: Needs, others: Sequence[Sequence[str]]
) -> str:
    """One step, in which each process becomes its program.

    ``srun a : b`` wants a job of several components, and the file of ``--multi-prog`` gives ``%``
    and quotes in arguments a meaning. The words of all programs follow one another.
    """
    rank, behind, lines = needs.get("tasks", 1), 0, []
    for program, words in reversed(list(zip(settings.mpmd, others, strict=True))):
        rank, behind = rank - program.tasks, behind + len(words)
        lines.append(f'((SLURM_PROCID < {rank})) || exec "${{@:$#-{behind - 1}:{len(words)}}}"')
    text = "\n".join([*lines, f'exec "${{@:1:$#-{behind}}}"'])
    further = " ".join(quote(word) for words in others for word in words)
    whole = _array(launcher, settings, needs)
    return (
        f"{whole}; _ensemake_launch+=(bash -pc {quote(text)} bash); _ensemake_further=({further})"
    )


def _part(launcher: str, other: Program, sizes: Needs, command: Sequence[str]) -> str:
    size = _size(launcher, {**sizes, "tasks": other.tasks})
    options = option_words(launcher, other.run_args)
    return " ".join([*map(quote, [*size, *options]), *_place(launcher), *map(quote, command)])


def _automatic(settings: RunSettings, needs: Needs) -> list[str]:
    return _choice(lambda launcher: _array(launcher, settings, needs), needs)


def _choice(lines: Callable[[str], str], needs: Needs) -> list[str]:
    return [
        'if [ -n "${SLURM_JOB_ID:-}" ] && command -v srun >/dev/null; then',
        f"  {lines('srun')}",
        "elif command -v mpirun >/dev/null; then",
        f"  {lines('mpirun')}",
        "elif command -v mpiexec >/dev/null; then",
        f"  {lines('mpiexec')}",
        "else",
        f"  {NO_LAUNCHER.format(tasks=needs.get('tasks', 1))}",
        "  exit 127",
        "fi",
    ]


def _array(launcher: str, settings: RunSettings, needs: Needs) -> str:
    words = [launcher, *_size(launcher, needs), *option_words(launcher, settings.run_args)]
    hosts = [HOSTS] if _wants_hosts(launcher, settings) else []
    return f"_ensemake_launch=({' '.join([*map(quote, words), *hosts, *_place(launcher)])})"


def _wants_hosts(launcher: str, settings: RunSettings) -> bool:
    given = {name.lstrip("-") for name in settings.run_args}
    return launcher.endswith(MPI) and not given & HOST_OPTIONS


def _place(launcher: str) -> list[str]:
    return [PLACE] if _is_srun(launcher) else []


def _is_srun(launcher: str) -> bool:
    return launcher.endswith("srun") and not launcher.endswith("jsrun")


def _size(launcher: str, needs: Needs) -> list[str]:
    tasks, cpus = needs.get("tasks", 1), needs.get("cpus_per_task", 1)
    if launcher.endswith("jsrun"):
        return ["--np", str(tasks), "--cpu_per_rs", str(cpus)]
    if _is_srun(launcher):
        # memory 0: all of the job's, shared; else the first step would hold it all to itself
        words = ["--exact", "--mem=0", f"--ntasks={tasks}", f"--cpus-per-task={cpus}"]
        if "nodes" in needs:
            per_node = ceil(tasks / needs["nodes"])
            words += [f"--nodes={needs['nodes']}", f"--ntasks-per-node={per_node}"]
        return words
    if launcher.endswith((*MPI, "aprun")):
        return ["-n", str(tasks)]
    return []


def option_words(launcher: str, options: Mapping[str, object]) -> list[str]:
    """Return options as words: ``--name=value`` for srun, ``--name value`` for the others."""
    joined = _is_srun(launcher)
    words: list[str] = []
    for name, value in options.items():
        words += _option(name.lstrip("-"), value, joined)
    return words


def _option(name: str, value: object, joined: bool) -> list[str]:
    flag = f"-{name}" if len(name) == 1 else f"--{name}"
    if value is None or value is True:
        return [flag]
    if joined and len(name) > 1:
        return [f"{flag}={value}"]
    return [flag, str(value)]
