"""The drill's cloud: moto's server over HTTP on loopback, in a process of its own, holding the apps' secrets.

`python -m cockpit.drill.cloud FILE` serves until it is ended; FILE (0600) is JSON: `port`, and `secrets` by id.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cockpit.drill.privileges import spawn
from cockpit.drill.servers import HOST, free_port
from cockpit.errors import CockpitError
from cockpit.model.settings import Endpoint

REGION = "eu-central-1"
ACCESS_KEY = "drill"
SECRET_KEY = "drill"
_START_S = 40.0
_POLL_S = 0.05


@dataclass(slots=True)
class Cloud:
    """A running emulator; `url` is its endpoint."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    async def ready(self) -> None:
        """It answers and holds the secrets. `CockpitError` when it does not within its time."""
        deadline = asyncio.get_running_loop().time() + _START_S
        while not await asyncio.to_thread((self.folder / "ready").exists):
            if not self.running or asyncio.get_running_loop().time() > deadline:
                raise CockpitError("the cloud emulator did not start", where=self.url, remedy=f"see {self.folder / 'cloud.log'}")
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """It has ended."""
        if self.running:
            self._process.kill()
        await asyncio.to_thread(self._process.wait)


def launch(folder: Path, secrets: Mapping[str, str]) -> Cloud:
    """The emulator is starting, with `secrets` (id to text); await `ready`."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    spec = folder / "cloud.json"
    spec.touch(mode=0o600)
    port = free_port()
    spec.write_text(json.dumps({"port": port, "secrets": dict(secrets)}), encoding="utf-8")
    with (folder / "cloud.log").open("ab") as log:
        process = spawn([sys.executable, "-m", "cockpit.drill.cloud", str(spec)], log=log, cwd=folder)
    return Cloud(folder, port, process)


def secret_text(target: Endpoint, user: str, password: str) -> str:
    """A database secret in the shape that RDS gives its own: engine, host, port, dbname, username, password."""
    value = {"engine": "postgres", "host": target.host, "port": target.port, "dbname": target.database}
    return json.dumps({**value, "username": user, "password": password})


def client_settings(place: Cloud) -> dict[str, str]:
    """What an AWS client needs to speak to the emulator."""
    return {"endpoint_url": place.url, "region_name": REGION, "aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}


# --- the process ------------------------------------------------------------------


def _serve(spec: Path) -> None:
    from moto.server import ThreadedMotoServer

    wanted = json.loads(spec.read_text(encoding="utf-8"))
    server = ThreadedMotoServer(ip_address=HOST, port=wanted["port"], verbose=False)
    server.start()
    for name, text in wanted["secrets"].items():
        _create(wanted["port"], name, text)
    (spec.parent / "ready").touch()
    threading.Event().wait()


def _create(port: int, name: str, text: str) -> None:
    # Straight over HTTP: loading a whole client for one call would cost the start of the rig a second. moto checks no signature.
    body = json.dumps({"Name": name, "SecretString": text, "ClientRequestToken": _token(name)}).encode()
    headers: dict[str, Any] = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "secretsmanager.CreateSecret",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/secretsmanager/aws4_request",
    }
    request = urllib.request.Request(f"http://{HOST}:{port}/", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        answer.read()


def _token(name: str) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"cockpit-drill/{name}"))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
