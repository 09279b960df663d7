"""A reconciliation's connection asks for what its endpoint says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.errors import LinkError
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile.sessions import Line


@pytest.mark.parametrize("mode", ["require", "prefer", "verify-ca", "verify-full"])
async def test_a_named_authority_is_asked_whatever_the_mode(tmp_path: Path, mode: str) -> None:
    """A CA file that cannot be used stops the connection before a packet leaves; without it the server would not be checked at all."""
    endpoint = Endpoint("127.0.0.1", 1, "arp", "cockpit", sslmode=mode, sslrootcert=str(tmp_path / "none.pem"))
    with pytest.raises(LinkError, match="CA file"):
        await Line(Side.BLUE, endpoint).fetch("SELECT 1")
