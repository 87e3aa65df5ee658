"""How a command is put on nodes: the launcher's words, in bash, for a member's run.sh.

`auto` is decided when run.sh runs, not when it is written: the same directory runs on a laptop, in
a Slurm job and in a PBS job.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from shlex import quote

from ensemake.config.run import Program, RunSettings

MPI = ("mpirun", "mpiexec", "orterun")
STEPS = "ENSEMAKE_STEPS"  # set where run.sh itself runs beside the nodes, not on them
# The nodes that a batch set aside for this member; and if run.sh is in a step that holds the job's
# CPUs already, as the Slurm plugin starts it, the launcher's step waits for ever unless it shares.
PLACE = '${ENSEMAKE_NODELIST:+"--nodelist=$ENSEMAKE_NODELIST"} ${SLURM_STEP_ID:+--overlap}'
# Open MPI reads PBS's node file only if it was built for PBS, and it lists the whole job.
HOSTS = '${PBS_NODEFILE:+"${_ensemake_hosts--machinefile}" "${ENSEMAKE_NODEFILE:-$PBS_NODEFILE}"}'
PALS_HOSTS = (
    "[[ ! ${PBS_NODEFILE-} || $(command -v mpiexec) != */pals/* ]] || _ensemake_hosts=--hostfile"
)
HOST_OPTIONS = {"machinefile", "hostfile", "hosts", "host", "f", "H"}
Needs = Mapping[str, int]  # nodes, tasks, cpus_per_task of one member

# Words before a program that may be on another node than its member's own store; see run.bash.
VOUCHED = '${_ensemake_vouched[@]+"${_ensemake_vouched[@]}"}'

NO_LAUNCHER = "echo 'ensemake: {tasks} tasks want srun, mpirun or mpiexec; none is here' >&2"


# Nodes that mpirun reaches by ssh give a rank another environment than run.sh has. Hydra (MPICH,
# Intel) takes it along whole, and jsrun. Open MPI is told names alone, so that no list of processes
# shows the values. What run.sh itself adds is told by name or not at all: a password may be in it.
PASS = """\
_ensemake_pass=() _ensemake_names=(@NAMES@)
case ${_ensemake_launch[0]-} in
  *mpirun | *mpiexec | *orterun)
    _ensemake_text=$("${_ensemake_launch[0]}" --version 2>/dev/null || :)
    _ensemake_text+=$(command -v "${_ensemake_launch[0]}" || :)
    case $_ensemake_text in
      *"Open MPI"* | *OpenRTE* | *PRRTE*)
        for _ensemake_text in ${_ensemake_names[@]+"${_ensemake_names[@]}"} @TOLD@; do
          _ensemake_pass+=(-x "$_ensemake_text")
        done ;;
      *PALS* | */pals/*) _ensemake_option=--env ;;
    esac ;;
  *aprun) _ensemake_option=-e ;;
esac
[ ${#_ensemake_names[@]} != 0 ] || unset -v _ensemake_option
for _ensemake_text in ${_ensemake_option+"${_ensemake_names[@]}"}; do
  _ensemake_value=$_ensemake_text=${!_ensemake_text-}
  for _ensemake_pair in ${_ensemake_given[@]+"${_ensemake_given[@]}"}; do
    [[ $_ensemake_pair != "$_ensemake_text="* ]] || _ensemake_value=$_ensemake_pair
  done
  _ensemake_pass+=("$_ensemake_option" "$_ensemake_value")
done
[ ${#_ensemake_pass[@]} = 0 ] ||
  _ensemake_launch=("${_ensemake_launch[0]}" "${_ensemake_pass[@]}" "${_ensemake_launch[@]:1}")"""
# They count for one program of several.
PASS_FURTHER = """\
_ensemake_words=()
for _ensemake_text in "${_ensemake_further[@]}"; do
  _ensemake_words+=("$_ensemake_text")
  [[ $_ensemake_text != : || ${_ensemake_pass[0]--e} == -e ]] ||
    _ensemake_words+=("${_ensemake_pass[@]}")
done
_ensemake_further=("${_ensemake_words[@]}")"""


def launch_lines(
    settings: RunSettings,
    needs: Needs,
    others: Sequence[Sequence[str]] = (),
    told: Sequence[str] = (),
) -> list[str]:
    """Return bash lines that set the array ``_ensemake_launch``, the words before the command.

    Several programs in one launch (MPMD) also have ``_ensemake_further``, the words after it.

    Parameters
    ----------
    settings
        ``run_command``, ``run_args`` and the names of ``env_vars`` are used.
    needs
        ``nodes``, ``tasks`` and ``cpus_per_task`` of the member; 1 each if absent.
    others
        The commands of the further programs, as ``mpmd`` has them.
    told
        Names of variables that run.sh may have for its programs beside those of the config.
    """
    hosts = [PALS_HOSTS] if _may_be_pals(settings, needs) else []
    return [*hosts, *_launch(settings, needs, others), *_passing(settings, needs, told)]


def _may_be_pals(settings: RunSettings, needs: Needs) -> bool:
    launcher = settings.run_command
    is_mpi = launcher.endswith("mpiexec") or _chooses(settings, needs)
    return is_mpi and _wants_hosts("mpiexec", settings)


def _chooses(settings: RunSettings, needs: Needs) -> bool:
    return settings.run_command == "auto" and not (_is_serial(needs) and not settings.mpmd)


def _passing(settings: RunSettings, needs: Needs, told: Sequence[str]) -> list[str]:
    """Have the launcher give every rank, wherever it is, the variables that are its own."""
    launcher = settings.run_command
    is_mpi = _chooses(settings, needs) or launcher.endswith((*MPI, "aprun"))
    if is_mpi and (settings.env_vars or told):
        lines = PASS.replace("@NAMES@", " ".join(settings.env_vars))
        lines = lines.replace("@TOLD@", " ".join(f"${{{name}+{name}}}" for name in told))
        return [lines, PASS_FURTHER] if settings.mpmd else [lines]
    return []


def _launch(settings: RunSettings, needs: Needs, others: Sequence[Sequence[str]] = ()) -> list[str]:
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
        f"{whole}; _ensemake_launch+=({VOUCHED} bash -pc {quote(text)} bash); "
        f"_ensemake_further=({further})"
    )


def _part(launcher: str, other: Program, sizes: Needs, command: Sequence[str]) -> str:
    size = _size(launcher, {**sizes, "tasks": other.tasks})
    options = option_words(launcher, other.run_args)
    words = [*map(quote, [*size, *options]), *_place(launcher), VOUCHED, *map(quote, command)]
    return " ".join(words)


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
    if _is_srun(launcher) and settings.env_vars and not _has_export(settings):
        words.append("--export=ALL")  # a site's or a job's default may be another
    hosts = [HOSTS] if _wants_hosts(launcher, settings) else []
    return f"_ensemake_launch=({' '.join([*map(quote, words), *hosts, *_place(launcher)])})"


def _has_export(settings: RunSettings) -> bool:
    return any(name.lstrip("-") == "export" for name in settings.run_args)


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
