"""One warm AWS client: imported on a thread, retried within bounds, its exceptions translated."""

from __future__ import annotations

import asyncio
import importlib
import random
from contextlib import AsyncExitStack
from typing import Any

from cockpit.errors import CockpitError, LinkError, OutcomeUnknown, SystemFault
from cockpit.model.secret import Secret
from cockpit.model.text import plain

BUSY = frozenset({
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled", "SlowDown",
    "InternalServiceError", "InternalServiceErrorException", "InternalFailure", "InternalError", "ServiceUnavailable", "ServiceUnavailableException",
    "500", "502", "503", "504", "429",
})  # fmt: skip
"""Answers that ask for another try."""
FIRST_WAIT_S = 0.1


class AwsClient:
    """Calls of one AWS service. `deadline_s` bounds a call with all its tries; `tries` how many there are."""

    def __init__(
        self, service: str, where: str, *, region: str | None = None, endpoint_url: str | None = None, access_key_id: Secret | None = None,
        secret_access_key: Secret | None = None, session_token: Secret | None = None, deadline_s: float = 8.0, try_s: float = 2.0, tries: int = 4,
        chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.service = service
        self.where = where
        self.deadline_s = deadline_s
        self.try_s = try_s
        self.tries = tries
        self._place = {"region_name": region, "endpoint_url": endpoint_url}
        self._login = {"aws_access_key_id": access_key_id, "aws_secret_access_key": secret_access_key, "aws_session_token": session_token}
        self._chance = chance or random.Random()  # noqa: S311 (spreads retries, guards nothing)
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """The client exists; nothing was asked of AWS yet. A second call does nothing."""
        if self._client is not None:
            return
        session, config = await asyncio.to_thread(self._session)
        try:
            async with asyncio.timeout(self.deadline_s):
                self._client = await self._stack.enter_async_context(session.client(self.service, config=config, **self._place))
        except TimeoutError:
            raise LinkError(
                f"no client in {self.deadline_s:g} s", where=self.where, remedy="check where its credentials come from"
            ) from None
        except Exception as err:  # botocore's configuration errors share no base with its others
            raise SystemFault(plain(err, 300), where=self.where, remedy="check region and credentials", code=type(err).__name__) from None

    def _session(self) -> tuple[Any, Any]:
        """The slow part, off the loop: the imports and the service's description, which the session keeps."""
        aioboto3 = importlib.import_module("aioboto3")
        config = importlib.import_module("aiobotocore.config").AioConfig(
            connect_timeout=self.try_s, read_timeout=self.try_s, retries={"total_max_attempts": 1}, max_pool_connections=4
        )
        login = {key: secret.reveal() for key, secret in self._login.items() if secret is not None}
        session = aioboto3.Session(**login, region_name=self._place["region_name"])
        loader = session._session.get_component("data_loader")
        loader.load_service_model(self.service, "service-2")
        loader.load_data("endpoints")
        return session, config

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def call(self, operation: str, *, effect: bool = False, **request: Any) -> dict[str, Any]:
        """The answer. Busy answers are tried again with growing, jittered waits; an `effect` whose answer was lost is `OutcomeUnknown`."""
        await self.open()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.deadline_s
        for number in range(self.tries):
            try:
                return await self._once(operation, until - loop.time(), effect, request)
            except (LinkError, SystemFault) as err:
                wait = self._chance.uniform(0.5, 1.0) * FIRST_WAIT_S * 2**number
                if not _again(err) or number + 1 == self.tries or loop.time() + wait >= until:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("the loop above returns or raises")

    async def _once(self, operation: str, left_s: float, effect: bool, request: dict[str, Any]) -> dict[str, Any]:
        from botocore import exceptions as boto

        try:
            async with asyncio.timeout(min(max(left_s, 0.01), 2 * self.try_s)):
                answer: dict[str, Any] = await getattr(self._client, operation)(**request)
                return answer
        except boto.ClientError as err:
            raise self._refused(operation, err.response) from None
        except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.SSLError) as err:
            raise LinkError(
                f"{operation}: cannot connect ({type(err).__name__})", where=self.where, remedy="check network and endpoint"
            ) from None
        except (TimeoutError, boto.HTTPClientError) as err:
            kind = OutcomeUnknown if effect else LinkError
            raise kind(f"{operation}: no answer ({type(err).__name__})", where=self.where, remedy="probe before anything else") from None
        except boto.BotoCoreError as err:
            raise SystemFault(f"{operation}: {plain(err, 300)}", where=self.where, code=type(err).__name__) from None

    def _refused(self, operation: str, response: dict[str, Any]) -> SystemFault:
        error = response.get("Error", {})
        code, status = plain(error.get("Code", "?"), 80), str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        said, remedy = plain(error.get("Message", ""), 300), ""
        if said.lstrip().startswith("<"):
            said, remedy = "a web page answered, not the API", "check the endpoint and what stands between"
        fault = SystemFault(f"{operation}: {code}: {said}", where=self.where, remedy=remedy, code=code)
        return fault if code in BUSY or status not in BUSY else SystemFault(fault.what, where=self.where, remedy=remedy, code=status)


def _again(err: CockpitError) -> bool:
    if isinstance(err, OutcomeUnknown):
        return False
    return isinstance(err, LinkError) or (isinstance(err, SystemFault) and err.code in BUSY)
