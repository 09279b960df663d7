"""What asyncpg is told about TLS: one reading of `sslmode` and `sslrootcert` for every connection of ours to a server of the pair.

As libpq takes them ("SSL Support"), but stricter where it hesitates: a named authority is always checked against, also with
`prefer` and `require`, and then there is no way back to plain text. The host's name is checked with `verify-full` alone.
"""

from __future__ import annotations

import ssl

from cockpit.errors import LinkError
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain


def tls_of(endpoint: Endpoint) -> bool | str | ssl.SSLContext:
    """For asyncpg's `ssl`. `LinkError` names a CA file that cannot be used. Without `sslrootcert` the system's authorities are trusted."""
    mode, authority = endpoint.sslmode, endpoint.sslrootcert
    if mode == "disable":
        return False
    if authority is None and mode not in {"verify-ca", "verify-full"}:
        return mode
    context = _trusting(authority)
    context.check_hostname = mode == "verify-full"
    return context


def _trusting(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as err:  # an SSLError is one too: the file was read and holds no certificate
        why = "it holds no certificate" if isinstance(err, ssl.SSLError) else err.strerror or type(err).__name__
        raise LinkError(
            f"the CA file {plain(authority or '')} cannot be used: {plain(why)}",
            where="sslrootcert",
            remedy="name a PEM file that this user may read",
        ) from None
