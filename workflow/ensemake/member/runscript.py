"""A member's run.sh: the exact command, and the lock and the record that make it safe to repeat."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from shlex import quote

from ensemake.config.container import Container
from ensemake.member.launchers import VOUCHED
from ensemake.member.layout import OWN

HEAD = """\
#!/usr/bin/env bash
# {title}
# Written by ensemake. `bash run.sh` does what the workflow does, wherever it is started from.

_ensemake_script=${{BASH_SOURCE[0]}}
[[ $_ensemake_script == /* ]] || _ensemake_script=$PWD/$_ensemake_script
"""

# Variables that bash changes, drops, refuses or acts upon. They are kept from this script and given
# to the program by `env`. Those that it changes for every program anyway (_, SHLVL, PWD) are so
# where the user sets them, not where they are inherited.
FOR_BASH = (
    *("BASH", "BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0"),
    *("BASH_CMDS", "BASH_COMMAND", "BASH_COMPAT", "BASH_LINENO", "BASH_MONOSECONDS"),
    *("BASH_SOURCE", "BASH_SUBSHELL", "BASH_TRAPSIG", "BASH_VERSINFO", "BASH_VERSION"),
    *("BASH_XTRACEFD", "COMP_WORDBREAKS", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID"),
    *("EXECIGNORE", "FUNCNAME", "FUNCNEST", "GROUPS", "HISTCMD", "IFS", "LINENO", "OPTERR"),
    *("OPTIND", "PIPESTATUS", "POSIXLY_CORRECT", "POSIX_PEDANTIC", "PPID", "PS1", "PS2", "PS4"),
    *("RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "TMOUT", "UID", "_ensemake_[A-Za-z0-9_]*"),
)
IS_FOR_BASH = re.compile("|".join((*FOR_BASH, "_", "SHLVL", "PWD", "OLDPWD")))

# A batch has run its preamble before its members; it starts them with -p.
PREAMBLE = """\
if [[ $- != *p* && ${{1-}} != _ensemake_prepare ]]; then
  set -euo pipefail
  builtin cd -P -- "${{_ensemake_script%/*}}"/{top}
{lines}
fi
"""

# Only builtins on the way to the command: forks are what a short member costs.
# The lock is inherited by the command, so that one that outlives a killed run.sh still holds it.
# Who starts many members may take it for them, open as 9: the program flock is a fork as well.
# status.json is one line, written in one go where there is none: half of it, on a full disk, is no
# JSON and counts as none. One that is there is replaced by a rename. Files are made, never written
# into: a program may have put a link, also a hard one, in the place of any of them.
# Without job control `wait` does not see a command that is only suspended.
# Without -p, bash would let BASH_ENV, CDPATH, SHELLOPTS and exported functions take part; who
# starts many members says -p and spares the second start. What the environment was at the start is
# known on Linux alone.
MACHINERY = Path(__file__).with_name("run.bash").read_text(encoding="utf-8")
COMMON = "\n# ---- the same in every run.sh"  # begins it
# Lines that only some members need: `# @NAME` or `# @NAME|NAME`, up to `# @end`.
SECTION = re.compile(r"^# @([a-z|]+)\n(.*?)^# @end\n", re.MULTILINE | re.DOTALL)

# In the process that becomes the program: nothing of it is seen by this script.
STEP = """\
_ensemake_{name}() {{
{lines}
  exec ${{_ensemake_given[@]+/usr/bin/env "${{_ensemake_given[@]}}"}} \\
    ${{_ensemake_timeout[@]+"${{_ensemake_timeout[@]}}"}} \\
    ${{_ensemake_launch[@]+"${{_ensemake_launch[@]}}"}} {vouched}{command}
}}
"""

# In a bash like any other, where a site's `module` is, with the program's own environment.
MEMBER_PREAMBLE = """\
if [[ ${{1-}} == _ensemake_prepare ]]; then
  set +o posix
  _ensemake_command=$2 _ensemake_timeout=()
  set --
  trap '_ensemake_code=$?; set -C; printf "%s\\n" "$_ensemake_line" \
    >"${{_ensemake_script%/*}}/.preamble"; exit $_ensemake_code' EXIT
  builtin cd -P -- "${{_ensemake_script%/*}}"/{top}
{lines}
  trap - EXIT
  builtin cd -- "${{_ensemake_script%/*}}"
  _ensemake_path=$PATH
  "$_ensemake_command"
fi"""
LINE = """\
  _ensemake_line={quoted}
{line}
  [ $? = 0 ] || exit"""

FURTHER = ' "${_ensemake_further[@]}"'


@dataclass(frozen=True)
class Step:
    """One of the commands of a member."""

    words: Sequence[str]
    digest: str  # of all up to it
    launch: Sequence[str] = ("_ensemake_launch=()",)
    environment: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict)  # name: its name in the shell
    stdin: str | None = None
    container: Container | None = None
    several: bool = False  # the launch lines set the words of further programs
    is_vouched: bool = False  # lets its processes on other nodes into the member's own store

    @property
    def name(self) -> str:
        """What it is called in messages: the program, and its first argument if that is a word."""
        program, *others = self.words
        verb = others[:1] if others and re.fullmatch(r"[A-Za-z][\w./-]*", others[0]) else []
        return " ".join([PurePosixPath(program).name, *verb])


@dataclass(frozen=True)
class RunScript:
    """All that a member's run.sh is made of."""

    title: str
    commands: Sequence[Step]
    outputs: Sequence[str] = ()
    preamble: Sequence[str] = ()  # shell lines before each command
    batch_preamble: Sequence[str] = ()  # those of a batch, for who runs it by hand
    top: str = "."  # the working directory, seen from the member's
    beside: Sequence[str] = ()  # names in the directory that are not the member's
    success_codes: Sequence[int] = (0,)
    limit_s: int | None = None  # of one attempt
    checks: Sequence[str] = ()  # file, regular expression, file ...
    restart_from: str = ""  # file or pattern
    restarts: Sequence[Step] = ()  # in place of each command
    times: int = 0
    inputs: Sequence[str] = ()  # lines that say what is taken from other members
    needs: str = ""  # run before an attempt is begun
    take: str = ""  # run as the first command begins
    keeper: Sequence[str] = ()  # words that keep a store of its own
    voucher: Sequence[str] = ()  # words before a program that may run on other nodes than it
    threads: Sequence[str] = ()  # with the store's CPUs, without, variables that tell
    prefix: str = ""  # of keys in the store


def run_script(run: RunScript) -> str:
    """Return the text of run.sh; every word of the user's stands quoted.

    Raises
    ------
    ValueError
        If a word or a variable holds a NUL, which no program can be given.
    """
    sections = {name for name, wanted in _sections(run).items() if wanted}
    text = (
        HEAD.format(title=" ".join(run.title.split()))
        + _batch_preamble(run)
        + "".join(f"{line}\n" for line in [*_given(run), *run.inputs])
        + "".join(_step(f"step_{n}", command) for n, command in enumerate(run.commands, 1))
        + "".join(_step(f"restart_{n}", command) for n, command in enumerate(run.restarts, 1))
        + _machinery(run, sections)
    )
    if "\0" in text:
        raise ValueError("a NUL character in an argument or a variable; no program can be given it")
    return text


def _given(run: RunScript) -> list[str]:
    """What the machinery is to know; what is not needed is not there."""
    digests, names = zip(*((command.digest, command.name) for command in run.commands), strict=True)
    codes = " ".join(map(str, run.success_codes))
    lists = {"beside": run.beside, "wanted": _wanted(run), "checks": run.checks}
    return [
        f"_ensemake_digest={quote(digests[-1])}",
        f"_ensemake_chain=({quoted_words(digests)})",
        f"_ensemake_names=({quoted_words(names)})",
        f"_ensemake_outputs=({quoted_words(run.outputs)})",
        f"_ensemake_success={quote(f' {codes} ')}",
        f"_ensemake_limit={run.limit_s or ''}",
        *(f"_ensemake_{name}=({quoted_words(words)})" for name, words in lists.items() if words),
        *([f"_ensemake_state={quote(run.restart_from)}"] if run.restart_from else []),
        *([f"_ensemake_times={run.times}"] if run.restart_from else []),
        *(_store(run) if run.keeper else []),
    ]


def _store(run: RunScript) -> list[str]:
    return [
        f"_ensemake_keeper=({quoted_words(run.keeper)})",
        f"_ensemake_voucher=({quoted_words(run.voucher)})",
        f"_ensemake_threads=({quoted_words(run.threads)})",
        *([f"export SSKEYOUT={quote(run.prefix)}"] if run.prefix else []),
    ]


def _sections(run: RunScript) -> dict[str, bool]:
    """Which sections of the machinery a member needs; all of it takes bash a while to read."""
    return {
        "several": len(run.commands) > 1,
        "restart": bool(run.restart_from),
        "checks": bool(run.checks),
        "preamble": bool(run.preamble),
        "environment": bool(_wanted(run)),
        "store": bool(run.keeper),
    }


def _machinery(run: RunScript, sections: Set[str]) -> str:
    text = _chosen(frozenset(sections))
    text = text.replace("# @NEEDS@\n", run.needs).replace("# @TAKE@\n", _take(run))
    return text.replace("# @PREAMBLE@\n", _preamble(run))


@lru_cache
def _chosen(sections: frozenset[str]) -> str:
    def chosen(found: re.Match[str]) -> str:
        return found[2] if sections.intersection(found[1].split("|")) else ""

    text = SECTION.sub(chosen, MACHINERY.replace("@NAMES@", quote("|".join(FOR_BASH))))
    return text.replace("@OURS@", quoted_words(OWN))


def _take(run: RunScript) -> str:
    """What commands that are kept, or gone on with, have taken stays as they left it."""
    return f"if ((${{#_ensemake_sizes[@]}} == 0)); then{run.take}fi\n" if run.take else ""


def _wanted(run: RunScript) -> list[str]:
    commands = [*run.commands, *run.restarts]
    return list(dict.fromkeys(name for one in commands for name in one.passed.values()))


def _step(name: str, command: Step) -> str:
    further = FURTHER if command.several else ""
    inside = '"${_ensemake_container[@]}" ' if command.container else ""
    vouched = f"{VOUCHED} " if command.is_vouched else ""
    text = None if command.stdin is None else command.stdin.removesuffix("\n")
    given = "" if text is None else f" <<<{quote(text)}"  # bash ends it with a line end
    lines = [
        *_variables(
            {name: quote(value) for name, value in command.environment.items()}
            | {name: f'"${{{source}-}}"' for name, source in command.passed.items()}
        ),
        *command.launch,
        *(_contained(command.container) if command.container else []),
    ]
    words = f"{inside}{quoted_words(command.words)}{further}{given}"
    return STEP.format(name=name, lines="\n".join(lines), vouched=vouched, command=words)


def digest_in(text: str) -> str | None:
    """Return the digest that a run.sh was written for, also by an older version."""
    found = re.search(r"^(?:_ensemake_)?digest=(\S+)$", text, re.MULTILINE)
    return found[1] if found else None


def commands_in(text: str) -> list[str]:
    """Return the commands of a run.sh, one after another, as they would be typed."""
    own, _, rest = text.rpartition(COMMON)
    launched = r"^  _ensemake_launch=\(([^\n]*)\)$"
    found = []
    for body in re.findall(r"(?ms)^_ensemake_step_\d+\(\) \{\n(.*?)^\}$", own or rest):
        launchers = re.findall(launched, body, re.MULTILINE)
        command = body.partition('"${_ensemake_launch[@]}"} ')[2].removesuffix("\n")
        command = command.removeprefix(f"{VOUCHED} ")
        found.append(" ".join(filter(None, [*launchers[:1], command])))
    return found


def quoted_words(texts: Sequence[str]) -> str:
    """Return texts as words of bash, each quoted."""
    return " ".join(quote(text) for text in texts)


def _variables(environment: Mapping[str, str]) -> list[str]:
    pairs = [(f"{name}={value}", name) for name, value in environment.items()]
    given = [pair for pair, name in pairs if IS_FOR_BASH.fullmatch(name)]
    return [
        *(f"export {pair}" for pair, name in pairs if not IS_FOR_BASH.fullmatch(name)),
        *([f"_ensemake_given+=({' '.join(given)})"] if given else []),
    ]


def _batch_preamble(run: RunScript) -> str:
    if not run.batch_preamble:
        return ""
    return PREAMBLE.format(top=quote(run.top), lines="\n".join(run.batch_preamble))


def _preamble(run: RunScript) -> str:
    if not run.preamble:
        return ""
    lines = [LINE.format(quoted=quote(line.strip()), line=line) for line in run.preamble]
    return MEMBER_PREAMBLE.format(top=quote(run.top), lines="\n".join(lines)) + "\n"


def _contained(container: Container) -> list[str]:
    binds = [word for bind in container.bind for word in ("--bind", bind)]
    inside = quote(container.working_directory) if container.working_directory else '"$PWD"'
    return [
        "_ensemake_container=$(command -v apptainer || command -v singularity) || {",
        "  echo 'ensemake: the container wants apptainer or singularity on PATH' >&2",
        "  exit 127",
        "}",
        f'_ensemake_container=("$_ensemake_container" exec --pwd {inside} --bind "$PWD" '
        f"{quoted_words([*binds, *container.args, container.image])})",
    ]
