"""SCRAM verifiers: what PostgreSQL and PgBouncer keep instead of a password (RFC 5803; "pg_authid" in PostgreSQL's manual).

A migrated server gets its roles with the verifiers of the old one. With the same verifier on both servers and in PgBouncer's
file, PgBouncer logs in to a server with the key its client proved, without the 4096 rounds that a plain password costs at each
new connection: that is what an app's stall after a handover would otherwise be made of.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_ROUNDS = 4096


def verifier(password: str, salt: bytes | None = None) -> str:
    """`SCRAM-SHA-256$4096:salt$stored:server` for an ASCII password."""
    salt = salt if salt is not None else secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ROUNDS)
    stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    return f"SCRAM-SHA-256${_ROUNDS}:{_b64(salt)}${_b64(stored)}:{_b64(_mac(salted, b'Server Key'))}"


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
