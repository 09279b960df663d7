"""What TLS a connection is made with, mode by mode."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from cockpit.errors import LinkError
from cockpit.model.settings import Endpoint
from cockpit.systems.postgres.border import unreachable
from cockpit.systems.postgres.tls import tls_of


def endpoint(mode: str, authority: str | None = None) -> Endpoint:
    return Endpoint("db", 5432, "arp", "cockpit", sslmode=mode, sslrootcert=authority)


@pytest.fixture
def authority() -> str:
    """A bundle of the machine or of a package of ours: any PEM file with certificates."""
    import certifi

    return certifi.where()


def test_without_an_authority_the_mode_is_the_drivers() -> None:
    assert tls_of(endpoint("disable")) is False
    for mode in ("allow", "prefer", "require"):
        assert tls_of(endpoint(mode)) == mode


@pytest.mark.parametrize("mode", ["allow", "prefer", "require", "verify-ca", "verify-full"])
def test_a_named_authority_is_always_checked_against(mode: str, authority: str) -> None:
    context = tls_of(endpoint(mode, authority))
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is (mode == "verify-full")


def test_an_authority_that_cannot_be_used_is_named_on_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "no certificate.pem"
    empty.write_text("hello\n")
    for path, why in ((tmp_path / "no\nsuch.pem", "No such file"), (empty, "no certificate"), (tmp_path, "directory")):
        with pytest.raises(LinkError, match=why) as caught:
            tls_of(endpoint("verify-full", str(path)))
        assert "\n" not in str(caught.value)
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("err", "told"),
    [
        (OSError(111, "Connection refused"), "db:5432 cannot be reached: Connection refused"),
        (
            OSError("Multiple exceptions: refused by ::1, refused by 127.0.0.1"),
            "db:5432 cannot be reached: Multiple exceptions: refused by ::1",
        ),
        (ConnectionError(), "db:5432 cannot be reached: ConnectionError"),
        (ConnectionError('PostgreSQL server at "db:5432" rejected SSL upgrade'), "db:5432 speaks no TLS, which sslmode = require asks for"),
    ],
)
def test_what_keeps_a_connection_from_being_made_is_told_in_its_own_words(err: OSError, told: str) -> None:
    link = unreachable(err, "blue", endpoint("require"))
    assert link.what.startswith(told)
    assert link.remedy
