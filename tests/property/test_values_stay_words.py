"""Commands: whatever stands around a placeholder that was accepted, its value is one word, and no command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from segue.authoring import shell
from segue.authoring.command import filled
from segue.errors import DefinitionError

pytestmark = pytest.mark.property

SHELLS = [path for path in map(shutil.which, ("sh", "bash", "dash")) if path]
PIECES = (
    " ", "'", '"', "`", "$", "(", ")", "$(", "$((", "))", "${{", "}}", "\\", "#", "\n", "<<E\n", "E\n", "<<'E'\n",
    "<<-E\n", "\tE\n", "case x in a)", ";;", "esac", "echo ", "a", ";", "&", "|", "<", "> f", "$'", "\\'", "{{", "<(",
    "<<<", "((", " -- ", "true", "{x}",
)  # fmt: skip
TOUCH = "touch pwned"
ESCAPES = [
    f"'; {TOUCH}; '", f"$({TOUCH})", f"`{TOUCH}`", f"\n{TOUCH}\n", f"\n{TOUCH} #", f'"; {TOUCH}; "', f"); {TOUCH}; (",
    f"E\n{TOUCH}\n", f"')\n{TOUCH}\n(", f"a[$({TOUCH})]", f"\\'; {TOUCH}; \\'", f'\\"; {TOUCH} #',
]  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
ODD = st.sampled_from(
    ["", "-n", "--", "'", '"', "\n", "\\", "~", "*", "A=1", "2", "if", "!", "{", "é\n'", "x" * 50_000]
)


def accepted(template: str) -> bool:
    try:
        shell(template, x="x")
    except DefinitionError:
        return False
    return True


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9), st.lists(st.sampled_from(PIECES), max_size=9), st.data())
def test_no_value_becomes_a_command(tmp_path: Path, before: list[str], after: list[str], data: st.DataObject) -> None:
    template = "".join([*before, "{x}", *after])
    assume(accepted(template))
    text = filled(template, (), {"x": data.draw(st.sampled_from(ESCAPES))})
    for program in SHELLS:
        subprocess.run([program, "-c", text], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        assert not (tmp_path / "pwned").exists(), f"{program} ran it: {text!r}"


@settings(deadline=None)
@example("", "", "-n")
@given(
    st.sampled_from(["", "foo", "'a b'", '"c d"', "$HOME", '"$(echo q)"', "\\$", "--name=", '"it\'s"']),
    st.sampled_from(["", "bar", "'e f'", '"g"', "\\ ", ".gz", "=1"]),
    TEXT | ODD,
)
def test_a_value_is_exactly_one_word(before: str, after: str, value: str) -> None:
    template = f"HOME=h; printf '%s\\0' {before}{{x}}{after} {{x}}"
    text = filled(template, (), {"x": value})
    bare = text.replace(filled("{x}", (), {"x": value}), "''")
    for program in SHELLS:
        run = [
            subprocess.run([program, "-c", each], stdout=subprocess.PIPE, check=True).stdout for each in (text, bare)
        ]
        whole, alone = run[0].decode().split("\0")[:-1]
        around = run[1].decode().split("\0")[0]
        assert alone == value
        assert len(whole) == len(around) + len(value)
        assert value in whole


@pytest.mark.parametrize(
    "template",
    [
        "echo 'Hello {x}'", 'echo "Hello {x}"', "echo $'{x}'", 'echo $"{x}"', "echo `cat {x}`", "cat <<E\n{x}\nE",
        "cat <<-'E'\n\t{x}\n\tE", "echo $(({x}+1))", "(({x}))", "echo ${{HOME:-{x}}}", "echo ${x}", "echo \\{x}",
        "ls # {x}", 'echo "$(cat {x})"', 'sh -c "{x}"', "echo \"it's\" '{x}'", "echo {x}#", "echo $[{x}]",
        "cat <<{x}\n",
        'echo `echo "` {x} `"`', 'echo "$(case x in a) echo " {x} ";; esac)"', "echo ${{a:-${{b}} {x}}}",
        "cat <<E\na\\\nE\n{x}\nE\n", "diff <(a)#'\n{x}'", "cat <<E 'a\nb' {x}\nE\n",
        "echo 'a' \"b\n{x}\"", 'echo "\\"{x}"', "echo ${{a:-\"}}{x}\"", "echo 'no end {x}",
    ],
)  # fmt: skip
def test_quotes_around_a_placeholder_are_refused_where_they_are_written(template: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        shell(template, x="v")
    assert repr(template) in str(refused.value)
    assert "leave out the quotes" in str(refused.value)


@pytest.mark.parametrize(
    "template",
    [
        "gzip --keep -- {x}", "foo{x}bar", "'a'{x}\"b\"", "echo $(cat {x} | wc -l)", "cat <<E >{x}\n$HOME it's\nE\n",
        "test -e {x} && rm {x} || true # done", "awk '{{ print $1 }}' {x}", "(cd {x}; ls)", "for i in {x}; do :; done",
        'echo "$(date +%s)" {x}', "case {x} in a) true;; esac; echo {x}", "x=$((1 + 2)); echo $x {x}", "ls a#b {x}",
        "echo \"$HOME it's ${{USER}}\" {x}", "cat <<'A' <<B - {x}\n'\nA\n\"\nB\necho {x}", "cat <<< {x}",
    ],
)  # fmt: skip
def test_a_placeholder_outside_of_quotes_is_accepted(template: str) -> None:
    assert accepted(template)


def test_commands_without_placeholders_may_hold_what_they_like() -> None:
    assert accepted("""echo "$(case x in a) echo "b";; esac)" `echo 'c'` $((1<<2)) ${{a:-"d"}}""")
