"""What a member takes from members of other entities: which files, and how run.sh gets at them.

A link to a file is made by the generate step, long before that file is there. What can only be done
once it is (copies, patterns) run.sh does when the member starts; what is gathered from all members
is put there by the workflow before that, see `results.gather`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from ensemake.config.inputs import Input
from ensemake.config.schema import Model
from ensemake.member.command import filled, member_outputs, relative
from ensemake.member.plan import Origin, Planned
from ensemake.member.runscript import quoted_words

# Run by run.sh before anything is recorded of an attempt.
NEEDS = r"""
for ((_ensemake_i = 0; _ensemake_i < ${#_ensemake_inputs[@]}; _ensemake_i += 3)); do
  _ensemake_text=
  [ ! -f "${_ensemake_inputs[_ensemake_i + 1]}/status.json" ] ||
    read -r _ensemake_text <"${_ensemake_inputs[_ensemake_i + 1]}/status.json" || :
  _ensemake_name="\"digest\": \"${_ensemake_inputs[_ensemake_i + 2]}\""
  [[ $_ensemake_text == *'"status": "completed"'*"$_ensemake_name"*'}' ]] || {
    _ensemake_say "needs ${_ensemake_inputs[_ensemake_i]}, which has not completed"
    [ -n "$_ensemake_carry_on" ] || exit 1
    exit 0
  }
done
for _ensemake_text in ${_ensemake_gathered[@]+"${_ensemake_gathered[@]}"}; do
  [ -f "$_ensemake_text" ] || {
    _ensemake_say "has no $_ensemake_text yet, which the workflow gathers"
    exit 1
  }
done
"""

# Run by run.sh as the attempt begins: an attempt gets what it takes fresh.
TAKE = r"""
_ensemake_bring() { # how, from where, target
  case $1 in
  copy) rm -rf -- "$3" && cp -RpL -- "$2" "$3" ;;
  link) rm -rf -- "$3" && ln -s -- "$2" "$3" ;;
  esac
}
while ((${#_ensemake_taken[@]})); do
  _ensemake_how=${_ensemake_taken[1]} _ensemake_from=${_ensemake_taken[2]}
  _ensemake_file=${_ensemake_taken[3]} _ensemake_to=${_ensemake_taken[4]} _ensemake_found=
  if [[ $_ensemake_how == *s ]]; then # links, copys: of a pattern
    while IFS= read -r _ensemake_text; do
      _ensemake_found=1
      _ensemake_bring "${_ensemake_how%s}" "$_ensemake_from/$_ensemake_text" \
        "$_ensemake_to${_ensemake_text##*/}"
    done < <(cd -- "$_ensemake_from" && compgen -G "$_ensemake_file")
  elif [ -e "$_ensemake_from/$_ensemake_file" ]; then
    _ensemake_found=1
    _ensemake_bring "$_ensemake_how" "$_ensemake_from/$_ensemake_file" "$_ensemake_to"
  fi
  [ -n "$_ensemake_found" ] || {
    _ensemake_text="${_ensemake_taken[0]} left no $_ensemake_file"
    printf 'ensemake: %s\n' "$_ensemake_text" >run.err
    _ensemake_fail failed 0 "$_ensemake_text"
  }
  _ensemake_taken=("${_ensemake_taken[@]:5}")
done

"""


@dataclass(frozen=True)
class TakenFile:
    """A file, or a pattern of files, that a member takes from one member of another entity.

    Attributes
    ----------
    whose
        ``entity/member``, for messages.
    how
        ``linked`` (by the generate step), ``copy``; of a pattern ``links`` or ``copys``.
    directory, file
        The other's directory, seen from the working directory; the path in it.
    target
        Path in the member's own directory; of a pattern, the folder with its slash, or "".
    """

    whose: str
    how: str
    directory: str
    file: str
    target: str


def named_files(settings: Input, other: Model, values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is taken of a member with these values: file there, name here."""
    files = member_outputs(other, values) if settings.files is None else settings.files
    if isinstance(files, dict):
        return dict(
            zip(filled(list(files), values), filled(list(files.values()), values), strict=True)
        )
    return {name: name for name in filled(files, values)}


def taken_files(
    settings: Model, member: Planned, origins: Mapping[str, Origin]
) -> Iterator[TakenFile]:
    """Yield what a member takes from those of which it takes one."""
    for entity, names in member.inputs:
        taken, origin = settings.inputs[entity], origins[entity]
        if taken.members == "one":
            yield from of_member(entity, taken, origin, names[0])


def of_member(entity: str, taken: Input, origin: Origin, name: str) -> Iterator[TakenFile]:
    """Yield what is taken from one member of another entity."""
    other = origin.members[name]
    whose = entity if len(origin.members) == 1 and name == entity else f"{entity}/{name}"
    for file, target in named_files(taken, origin.settings, other.values).items():
        if has_magic(file):
            folder = str(Path(file).parent) if target == file else target
            inside = "" if folder == "." else f"{folder.rstrip('/')}/"
            how = "links" if taken.as_ == "link" else "copys"
            yield TakenFile(whose, how, other.directory, file, inside)
        else:
            how = "linked" if taken.as_ == "link" else "copy"
            yield TakenFile(whose, how, other.directory, file, target)


def input_lines(
    settings: Model,
    member: Planned,
    origins: Mapping[str, Origin],
    base: Path,
) -> list[str]:
    """Return the lines of run.sh that say what it needs, what it takes, and what is gathered."""
    directory = base / member.directory
    needed: list[str] = []
    for entity, names in member.inputs:
        for name in names:
            other = origins[entity].members[name]
            needed += [
                f"{entity}/{name}",
                relative(base / other.directory, directory),
                other.digest,
            ]
    taken: list[str] = []
    for one in taken_files(settings, member, origins):
        place = relative(base / one.directory, directory)
        taken += [one.whose, one.how, place, one.file, one.target]
    return [
        f"_ensemake_inputs=({quoted_words(needed)})",
        f"_ensemake_taken=({quoted_words(taken)})",
        f"_ensemake_gathered=({quoted_words(gathered_tables(settings, member))})",
    ]


def gathered_tables(settings: Model, member: Planned) -> Sequence[str]:
    """Return the tables of what a member gathers, which stand in its directory."""
    return [
        f"{entity}/members.csv"
        for entity, _ in member.inputs
        if settings.inputs[entity].members == "all"
    ]
