"""References to secrets, and the redactor that knows every resolved one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dayshift.drivers.redaction import SECRET_LENGTH_MIN, forms
from dayshift.errors import DriverFault
from dayshift.runtime.secrets import Redactor, Secrets, reference_reason
from tests.kit.driving import script

VALUE = "pä/ss wö+rd&7"


def test_each_scheme_resolves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text(f"{VALUE}\n", encoding="utf-8")
    monkeypatch.setenv("THE_SECRET", VALUE)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    tell = script(tmp_path, "tell", f'printf "%s\\n" "{VALUE}$1"')
    secrets = Secrets(tmp_path)
    assert secrets.resolve("file:file") == VALUE
    assert secrets.resolve(f"file:{tmp_path}/file") == VALUE
    assert secrets.resolve("env:THE_SECRET") == VALUE
    assert secrets.resolve("systemd:file") == VALUE
    assert (
        secrets.resolve(f"exec:{json.dumps([tell, '; echo x'])}") == VALUE + "; echo x"
    )


def test_a_secret_is_known_once_resolved_and_is_in_no_repr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", VALUE)
    secrets = Secrets(tmp_path)
    assert secrets.redactor.redact(VALUE) == VALUE
    secrets.resolve("env:THE_SECRET")
    assert secrets.redactor.redact(f"a {VALUE} b") == "a [redacted] b"
    for shown in (repr(secrets), repr(secrets.redactor), str(secrets)):
        assert not any(shape in shown for shape in forms(VALUE))


@pytest.mark.parametrize(
    "reference",
    [
        "hunter2hunter2",
        "vault:a/b",
        "FILE:x",
        "file:",
        "env:",
        "exec:pass show x",
        "exec:[]",
        'exec:[""]',
        'exec:["a", 2]',
        'exec:"a"',
        "systemd:../x",
    ],
)
def test_what_is_no_reference_is_refused_without_being_shown(
    tmp_path: Path, reference: str
) -> None:
    reason = reference_reason(reference)
    assert reason is not None and reason.code == "SECRET-REFERENCE"
    assert "hunter2" not in str(reason)
    with pytest.raises(DriverFault, match="SECRET-REFERENCE"):
        Secrets(tmp_path).resolve(reference)


def test_what_cannot_be_resolved_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SHORT", "12345")
    (tmp_path / "binary").write_bytes(b"\xff" * 10)
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    fail = script(tmp_path, "fail", "echo half-a-secret; exit 3")
    for reference, why in (
        ("file:nowhere", "No such file"),
        ("file:binary", "not UTF-8"),
        ("file:big", "longer than 65536"),
        ("env:NOWHERE_AT_ALL", "not set"),
        ("env:SHORT", r"5 characters \(at least 6\)"),
        ("systemd:x", "CREDENTIALS_DIRECTORY"),
        ('exec:["./nowhere"]', "cannot be started"),
        (f'exec:["{fail}"]', "exit code 3"),
    ):
        with pytest.raises(DriverFault, match=why) as fault:
            Secrets(tmp_path).resolve(reference)
        assert "half-a-secret" not in str(fault.value)


@given(
    st.text(min_size=SECRET_LENGTH_MIN).filter(lambda one: one.isprintable()),
    st.text(max_size=6),
    st.text(max_size=6),
)
@example("aaaaaa", "a", "a")
@example("secret", "user:", "")
def test_no_shape_of_a_secret_passes(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.learn(secret)
    for text in (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
    ):
        assert text not in redactor.redact(f"«{before}{text}{after}»").replace(
            "[redacted]", "\0"
        )
    data = f"{before}{secret}{after}".encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        assert redactor.redact(text) != text


def test_lines_and_overlapping_secrets_are_covered() -> None:
    redactor = Redactor()
    redactor.learn("first line\nsecond line\n")
    redactor.learn("password")
    redactor.learn("password-and-more")
    assert redactor.redact("x second line y") == "x [redacted] y"
    assert redactor.redact("password-and-more") == "[redacted]"
    assert redactor.redact("nothing to hide") == "nothing to hide"


def test_a_secret_that_stands_in_a_name_is_refused(tmp_path: Path) -> None:
    """Blotted out of claims, it would make every dial look like somebody else's."""
    (tmp_path / "key").write_text("shop-eu\n")
    (tmp_path / "good").write_text("shop-eu-7f31\n")
    secrets = Secrets(tmp_path, ("shop-eu", "fra"))
    with pytest.raises(DriverFault) as caught:
        secrets.resolve("file:key")
    assert "stands in the name `shop-eu`" in str(caught.value)
    assert secrets.redactor.redact("claimed by shop-eu") == "claimed by shop-eu"
    assert secrets.resolve("file:good") == "shop-eu-7f31"
