"""AWS Secrets Manager, as moto serves it over HTTP, behind a proxy that misbehaves on request."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.session
import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from botocore.config import Config
from moto.server import ThreadedMotoServer

from cockpit.errors import LinkError, OutcomeUnknown, SystemFault
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint, PairSpec, SideSpec
from cockpit.model.words import Known, Severity, Side
from cockpit.systems.aws.secrets import Options, SecretChannel, Values
from tests.systems.channels.conformance import CHANNEL, ChannelCase

ENDS = [Endpoint(f"{side}.example", 5432, "arp", "cockpit") for side in Side]
PAIR = PairSpec("arp", SideSpec(ENDS[0], ENDS[0]), SideSpec(ENDS[1], ENDS[1]), (), ())
VALUE = {
    "engine": "postgres",
    "host": "blue.example",
    "port": "5432",
    "username": "app",
    "password": "hush-blue",
    "dbname": "arp",
    "pool": 7,
}
IMPATIENT = {"attempt": 0.5, "deadline": 4.0}
"""For a server that hangs: one that is only slow, as moto on a busy machine, is given what the product gives."""


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    _warm(f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    _client(f"http://{host}:{port}").close()
    server.stop()


def _warm(url: str) -> None:
    """moto loads a service at its first request, which takes seconds."""
    _patiently(url, "list_secrets")


def _patiently(url: str, operation: str, **request: Any) -> dict[str, Any]:
    """moto's answer to somebody who can wait: it shares this process with the tests, and the machine with others."""
    answer: dict[str, Any] = getattr(_client(url), operation)(**request)
    return answer


@cache
def _client(url: str) -> Any:
    """Its own connections, which no test disturbs; any thread may use it."""
    return botocore.session.Session().create_client(
        "secretsmanager", region_name="eu-central-1", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test",
        config=Config(read_timeout=90, retries={"total_max_attempts": 1}),
    )  # fmt: skip


@dataclass
class Proxy:
    """Between the channel and moto. `faults`: for each operation a list of what happens to its next requests."""

    moto: str
    url: str = ""
    faults: dict[str, list[str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        operation = request.headers.get("X-Amz-Target", "?").split(".")[-1]
        self.seen.append(operation)
        planned = self.faults.get(operation, [])
        fault = planned.pop(0) if planned else ""
        if fault and fault not in ("lost", "hang after", "500 after"):
            return await self._refuse(fault)
        body = await request.read()
        headers = {key: value for key, value in request.headers.items() if key.lower() not in ("host", "content-length")}
        async with ClientSession() as session, session.post(self.moto, data=body, headers=headers) as answer:
            text, status, kind = await answer.read(), answer.status, answer.headers.get("Content-Type", "")
        if fault == "lost":
            assert request.transport is not None
            request.transport.abort()
        if fault == "hang after":
            await asyncio.sleep(30)
        if fault == "500 after":
            return await self._refuse("500 InternalServiceError")
        return web.Response(body=text, status=status, headers={"Content-Type": kind})

    async def _refuse(self, fault: str) -> web.Response:
        if fault == "hang":
            await asyncio.sleep(30)
        status, code = fault.split(" ")
        if code == "page":
            return web.Response(text="<!doctype html>\n<html><body>Not found</body></html>", status=int(status), content_type="text/html")
        return web.json_response({"__type": code, "message": "as asked\x1b[31m"}, status=int(status))


@pytest_asyncio.fixture
async def proxy(moto: str) -> AsyncIterator[Proxy]:
    made = Proxy(moto)
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@dataclass
class Bed:
    channel: SecretChannel
    proxy: Proxy
    options: Options

    async def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        return await asyncio.to_thread(_patiently, self.proxy.moto, operation, SecretId=self.options.secret_id, **request)

    async def value(self) -> dict[str, Any]:
        # Named, because moto does not follow a label that was moved when none is asked for; AWS does.
        value: dict[str, Any] = json.loads((await self.ask("get_secret_value", VersionStage="AWSCURRENT"))["SecretString"])
        return value

    async def somebody_sets(self, side: Side) -> None:
        await self.ask("put_secret_value", SecretString=json.dumps(await self.value() | {"host": f"{side}.example"}))

    async def app_sees(self) -> Side:
        return Side(str((await self.value())["host"]).split(".")[0])

    async def versions(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = (await self.ask("describe_secret"))["VersionIdsToStages"]
        return found

    @property
    def case(self) -> ChannelCase:
        return ChannelCase(self.channel, self.app_sees, self.somebody_sets)


@pytest_asyncio.fixture
async def bed(proxy: Proxy) -> AsyncIterator[Bed]:
    options = Options(
        secret_id=f"arp/ledger-{random.randrange(10**9)}", region="eu-central-1", endpoint_url=proxy.url, access_key_id=Secret("test"),
        secret_access_key=Secret("test-secret-key"), green=Values(password=Secret("hush-green")),
    )  # fmt: skip
    channel = SecretChannel("ledger", PAIR, options)
    await asyncio.to_thread(_patiently, proxy.moto, "create_secret", Name=options.secret_id, SecretString=json.dumps(VALUE))
    await channel.open()
    proxy.seen.clear()
    yield Bed(channel, proxy, options)
    await channel.close()


Another = Callable[..., SecretChannel]


@pytest_asyncio.fixture
async def another(bed: Bed) -> AsyncIterator[Another]:
    """The same secret, in another process of ours."""
    made: list[SecretChannel] = []

    def make(**changes: Any) -> SecretChannel:
        made.append(SecretChannel("ledger", PAIR, bed.options.model_copy(update=changes)))
        return made[-1]

    yield make
    for channel in made:
        await channel.close()


@pytest.mark.parametrize("case", CHANNEL, ids=lambda case: case.__name__)
async def test_it_is_a_channel(bed: Bed, case: Callable[[ChannelCase], Awaitable[None]]) -> None:
    await case(bed.case)


async def test_only_the_fields_of_the_side_change(bed: Bed) -> None:
    await bed.channel.stage().apply()
    await bed.channel.route(Side.GREEN).apply()
    assert await bed.value() == VALUE | {"host": "green.example", "password": "hush-green"}
    await bed.channel.route(Side.BLUE).apply()
    assert await bed.value() == VALUE


async def test_staging_moves_nothing_and_makes_one_version_however_often(bed: Bed) -> None:
    before = await bed.versions()
    (original,) = before
    for _ in range(3):
        await bed.channel.stage().apply()
    after = await bed.versions()
    assert len(after) == 2
    assert set(after[original]) == {"AWSCURRENT", "COCKPIT_BLUE"}
    assert await bed.app_sees() is Side.BLUE
    await bed.channel.route(Side.GREEN).apply()
    await bed.channel.stage().apply()
    assert len(await bed.versions()) == 2


async def test_a_route_is_one_change_and_one_look_and_reads_no_secret(bed: Bed) -> None:
    await bed.channel.stage().apply()
    bed.proxy.seen.clear()
    await bed.channel.route(Side.GREEN).apply()
    await bed.channel.route(Side.GREEN).probe()
    assert bed.proxy.seen == ["UpdateSecretVersionStage", "DescribeSecret", "DescribeSecret"]


async def test_who_looked_before_it_was_staged_can_route_it_back(bed: Bed, another: Another) -> None:
    """A guardian opens its channels first; the pilot stages and routes after that."""
    guardian = another()
    await guardian.open()
    await bed.channel.stage().apply()
    await bed.channel.route(Side.GREEN).apply()
    await guardian.route(Side.BLUE).apply()
    assert await bed.app_sees() is Side.BLUE


async def test_who_looked_before_it_was_staged_again_routes_to_the_new_version(bed: Bed, another: Another) -> None:
    await bed.channel.stage().apply()
    guardian = another()
    await guardian.open()
    greener = another(green=Values(password=Secret("hush-newer")))
    await greener.stage().apply()
    await guardian.route(Side.GREEN).apply()
    assert await bed.value() == VALUE | {"host": "green.example", "password": "hush-newer"}


@pytest.mark.parametrize("fault", ["lost", "400 AccessDeniedException"])
async def test_after_an_error_the_labels_are_read_anew(bed: Bed, fault: str) -> None:
    await bed.channel.stage().apply()
    bed.proxy.faults["UpdateSecretVersionStage"] = [fault]
    with pytest.raises((OutcomeUnknown, SystemFault)):
        await bed.channel.route(Side.GREEN).apply()
    bed.proxy.seen.clear()
    await bed.channel.route(Side.BLUE).apply()
    assert bed.proxy.seen[0] == "DescribeSecret"
    assert await bed.app_sees() is Side.BLUE


@pytest.mark.parametrize(
    "fault", ["400 ThrottlingException", "500 InternalServiceError", "503 ServiceUnavailable", "429 TooManyRequestsException"]
)
@pytest.mark.parametrize("operation", ["UpdateSecretVersionStage", "DescribeSecret"])
async def test_busy_answers_are_tried_again(bed: Bed, operation: str, fault: str) -> None:
    await bed.channel.stage().apply()
    bed.proxy.seen.clear()
    bed.proxy.faults[operation] = [fault] * 2
    await bed.channel.route(Side.GREEN).apply()
    assert await bed.app_sees() is Side.GREEN
    assert bed.proxy.seen.count(operation) == 3


async def test_a_web_page_is_told_as_one(bed: Bed) -> None:
    bed.proxy.faults["DescribeSecret"] = ["404 page"] * 50
    with pytest.raises(SystemFault, match="a web page answered, not the API") as caught:
        await bed.channel.stage().apply()
    assert "<" not in str(caught.value)
    assert "check the endpoint" in caught.value.remedy


async def test_tries_are_bounded(bed: Bed) -> None:
    await bed.channel.stage().apply()
    bed.proxy.seen.clear()
    bed.proxy.faults["UpdateSecretVersionStage"] = ["400 ThrottlingException"] * 50
    with pytest.raises(SystemFault) as caught:
        await bed.channel.route(Side.GREEN).apply()
    assert caught.value.code == "ThrottlingException"
    assert bed.proxy.seen.count("UpdateSecretVersionStage") == bed.options.attempts
    assert await bed.app_sees() is Side.BLUE


@pytest.mark.parametrize("fault", ["lost", "hang after"])
async def test_a_lost_answer_is_unknown_then_seen(bed: Bed, another: Another, fault: str) -> None:
    await bed.channel.stage().apply()
    bed.proxy.faults["UpdateSecretVersionStage"] = [fault]
    with pytest.raises(OutcomeUnknown):
        await another(**IMPATIENT).route(Side.GREEN).apply()
    assert (await bed.channel.route(Side.GREEN).probe()).done
    await bed.channel.route(Side.GREEN).apply()
    assert await bed.app_sees() is Side.GREEN
    await bed.channel.route(Side.BLUE).apply()
    assert await bed.app_sees() is Side.BLUE


async def test_an_error_after_the_effect_is_no_conflict(bed: Bed) -> None:
    """The repeated request finds the label moved already, by us."""
    await bed.channel.stage().apply()
    bed.proxy.faults["UpdateSecretVersionStage"] = ["500 after"]
    await bed.channel.route(Side.GREEN).apply()
    assert await bed.app_sees() is Side.GREEN


async def test_a_put_whose_answer_was_lost_makes_no_second_version(bed: Bed) -> None:
    bed.proxy.faults["PutSecretValue"] = ["lost"]
    with pytest.raises(OutcomeUnknown):
        await bed.channel.stage().apply()
    await bed.channel.stage().apply()
    assert len(await bed.versions()) == 2
    assert (await bed.channel.stage().probe()).done


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException", "ResourceNotFoundException", "LimitExceededException"])
async def test_what_cannot_help_is_not_tried_again(bed: Bed, code: str) -> None:
    await bed.channel.stage().apply()
    bed.proxy.seen.clear()
    bed.proxy.faults["UpdateSecretVersionStage"] = [f"400 {code}"] * 9
    with pytest.raises(SystemFault) as caught:
        await bed.channel.route(Side.GREEN).apply()
    assert caught.value.code == code
    assert "\x1b" not in str(caught.value)
    assert bed.proxy.seen.count("UpdateSecretVersionStage") == 1


async def test_somebody_moved_the_label_both_are_shown(bed: Bed) -> None:
    await bed.channel.stage().apply()
    staged = await bed.versions()
    await bed.somebody_sets(Side.BLUE)
    theirs = next(version for version in await bed.versions() if version not in staged)
    with pytest.raises(SystemFault) as caught:
        await bed.channel.route(Side.GREEN).apply()
    assert caught.value.code == "conflict"
    assert theirs in str(caught.value)
    assert any(version in str(caught.value) for version in staged)
    assert await bed.app_sees() is Side.BLUE
    assert (await bed.channel.route(Side.BLUE).probe()).known is Known.PENDING
    # AWS would leave COCKPIT_BLUE where it was, which blocks; moto drops it, which warns.
    assert any(f.severity is not Severity.GOOD for f in await bed.channel.preflight())
    await bed.channel.stage().apply()
    await bed.channel.route(Side.GREEN).apply()
    assert await bed.app_sees() is Side.GREEN


async def test_unreachable_and_hanging_end_within_the_deadline(bed: Bed, another: Another) -> None:
    loop = asyncio.get_running_loop()
    bed.proxy.faults["DescribeSecret"] = ["hang"] * 9
    channel = another(**IMPATIENT)
    await channel._aws.open()  # what making a client takes of a busy processor is not waiting for AWS
    began = loop.time()
    with pytest.raises(LinkError):
        await channel.intended()
    assert loop.time() - began < IMPATIENT["deadline"] + 1
    with pytest.raises(LinkError):
        await another(**IMPATIENT, endpoint_url="http://127.0.0.1:9").open()


async def test_rotation_blocks(bed: Bed) -> None:
    from cockpit.systems.aws.secrets import Labels, _findings

    found = _findings({"RotationEnabled": True}, Labels("1", {Side.BLUE: "1", Side.GREEN: "2"}, 2), Side.BLUE)
    assert [severity for _, severity, what, _ in found if "rotation" in what] == [Severity.BLOCK]


async def test_a_secret_that_a_service_of_aws_manages_blocks(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS describes the master password of a database that manages it itself; moto knows no such owner."""
    assert not [f for f in await bed.channel.preflight() if f.check == "P10"]
    real = SecretChannel._call

    async def managed(channel: SecretChannel, method: str, **arguments: object) -> dict[str, object]:
        answer = await real(channel, method, **arguments)
        return dict(answer) | ({"OwningService": "rds"} if method == "describe_secret" else {})

    monkeypatch.setattr(SecretChannel, "_call", managed)
    (found,) = [f for f in await bed.channel.preflight() if f.check == "P10"]
    assert (found.object, found.severity, found.seen) == (bed.channel.name, Severity.BLOCK, "managed by rds")
    assert found.query == f"DescribeSecret {bed.options.secret_id}"
    assert found.remedy == "AWS refuses changes to it: give the app a secret of its own"


async def test_a_current_version_of_nobodys_blocks() -> None:
    from cockpit.systems.aws.secrets import Labels, _findings

    stages = {"1": ["COCKPIT_BLUE", "AWSPREVIOUS"], "2": ["COCKPIT_GREEN"], "3": ["AWSCURRENT"]}
    labels = Labels.of({"VersionIdsToStages": stages})
    assert labels.side is None
    assert _findings({}, labels, labels.side)[0][1] is Severity.BLOCK


async def test_the_second_flight_knows_the_first_sides_password(bed: Bed) -> None:
    """The config gives green's password only; blue's is in blue's version, also when staging starts from green."""
    await bed.channel.stage().apply()
    await bed.channel.route(Side.GREEN).apply()
    # In two requests, because moto takes all labels from the old versions when a put moves AWSCURRENT; AWS does not.
    current = next(version for version, labels in (await bed.versions()).items() if "AWSCURRENT" in labels)
    put = await bed.ask("put_secret_value", SecretString=json.dumps(await bed.value() | {"pool": 9}), VersionStages=["theirs"])
    await bed.ask("update_secret_version_stage", VersionStage="AWSCURRENT", MoveToVersionId=put["VersionId"], RemoveFromVersionId=current)
    await bed.channel.stage().apply()
    await bed.channel.route(Side.BLUE).apply()
    assert await bed.value() == VALUE | {"pool": 9}


async def test_no_secret_is_shown(bed: Bed) -> None:
    evidence = [await bed.channel.stage().apply(), await bed.channel.route(Side.GREEN).apply()]
    found = await bed.channel.preflight()
    texts = [action.describe() for action in (bed.channel.stage(), bed.channel.route(Side.GREEN))]
    assert "hush" not in repr((evidence, found, texts, bed.options, bed.channel.__dict__["_aws"]._place))
    assert "•••" in str(texts)


async def test_a_secret_that_is_no_object_is_refused(bed: Bed) -> None:
    await bed.ask("put_secret_value", SecretString="just-a-password")
    with pytest.raises(SystemFault, match="no JSON object") as caught:
        await bed.channel.stage().apply()
    assert "just-a-password" not in str(caught.value)
