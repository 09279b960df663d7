"""What any `Servers` must show, whatever stands behind it: subclass it and give the fixtures `pair` (opened) and `second` (not opened).

`pair` has both sides sound and one app; nothing of the cockpit stands on either side yet. `second` is another cockpit on the same pair.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from cockpit.errors import Flown, Refused, Superseded, SystemFault
from cockpit.handover.ports import Action, Claim, Servers
from cockpit.model.words import Known, Severity, Side

BLUE, GREEN = Side.BLUE, Side.GREEN
LSN = re.compile(r"[0-9A-F]+/[0-9A-F]+")


async def made_so(action: Action) -> None:
    """Applied twice without harm, and seen to be so."""
    await action.apply()
    await action.apply()
    assert (await action.probe()).known is Known.DONE, action.name


async def arm(pair: Servers) -> None:
    for side in (BLUE, GREEN):
        await made_so(pair.install(side))
    await made_so(pair.replicate(BLUE, GREEN, copy=True))
    await made_so(pair.replicate(GREEN, BLUE, copy=False))


def actions(pair: Servers) -> Sequence[Action]:
    return (
        pair.install(BLUE),
        pair.replicate(BLUE, GREEN, copy=True),
        pair.canary(BLUE, GREEN),
        pair.fence(BLUE, on=True),
        pair.fence(BLUE, on=False),
        pair.quiesce(BLUE),
        pair.drain(BLUE, GREEN),
        pair.sequences(BLUE, GREEN),
        pair.gone(BLUE),
    )


class ServersConformance:
    """The behaviours themselves."""

    async def test_describing_changes_nothing(self, pair: Servers) -> None:
        texts = [statement.text for action in actions(pair) for statement in action.describe()]
        assert texts
        assert all(text.strip() for text in texts)
        assert len({action.name for action in actions(pair)}) == len(actions(pair))
        for action in (pair.install(BLUE), pair.replicate(BLUE, GREEN, copy=True), pair.fence(BLUE, on=True)):
            assert (await action.probe()).known is Known.PENDING, action.name
        assert (await pair.fence(BLUE, on=False).probe()).done
        for side in (BLUE, GREEN):
            assert (await pair.gone(side).probe()).done

    async def test_a_handover_there_and_back(self, pair: Servers) -> None:
        await arm(pair)
        for origin in (BLUE, GREEN):
            target = origin.other
            await made_so(pair.fence(target, on=True))
            for way in ((origin, target), (target, origin)):
                evidence = await pair.canary(*way).apply()
                assert isinstance(evidence["round_trip_ms"], float | int)
            await made_so(pair.fence(origin, on=True))
            assert not (await pair.fence(origin, on=False).probe()).done
            quiet = await pair.quiesce(origin).apply()
            assert LSN.fullmatch(str(quiet["lsn"]))
            assert "terminated" in quiet
            assert (await pair.quiesce(origin).probe()).done
            drained = await pair.drain(origin, target).apply()
            assert {"canary_ms", "confirmed_lsn", "fence_lsn"} <= drained.keys()
            await made_so(pair.sequences(origin, target))
            assert (await pair.replicate(target, origin, copy=False).probe()).done
            await made_so(pair.fence(target, on=False))
            assert (await pair.fence(origin, on=True).probe()).done

    async def test_what_is_measured(self, pair: Servers) -> None:
        assert set(await pair.versions()) == {BLUE, GREEN}
        await arm(pair)
        await pair.beat(BLUE)
        sample = await pair.lag(BLUE, GREEN)
        assert (sample.origin, sample.target) == (BLUE, GREEN)
        assert sample.slot_state == "active"
        assert sample.tables_ready == sample.tables_total > 0
        assert (await pair.shape()) == (await pair.shape())
        for side in (BLUE, GREEN):
            server = await pair.server(side)
            assert (server.side, server.up) == (side, True)
            assert all(session.side is side for session in await pair.census(side))

    async def test_the_way_back_is_armed_once_a_row_went_both_ways(self, pair: Servers) -> None:
        await arm(pair)
        for origin in (BLUE, GREEN):
            await pair.canary(origin, origin.other).apply()
        for origin in (BLUE, GREEN):
            sample = await pair.lag(origin, origin.other)
            assert (sample.reverse_armed, sample.reverse_missing, sample.not_ready) == (True, (), ())

    async def test_a_fence_says_since_when(self, pair: Servers) -> None:
        await pair.install(BLUE).apply()
        for on in (True, False):
            await made_so(pair.fence(BLUE, on=on))
            for action in (pair.fence(BLUE, on=True), pair.fence(BLUE, on=False)):
                probe = await action.probe()
                assert probe.evidence["read_only"] is on
                assert (probe.evidence["fenced_since"] is not None) is on
            assert (await pair.server(BLUE)).fenced is on

    async def test_only_app_sessions_are_ended(self, pair: Servers) -> None:
        await made_so(pair.terminate(BLUE, (1,)))
        assert (await pair.server(BLUE)).up

    async def test_preflight_says_all_it_looked_at(self, pair: Servers) -> None:
        found = await pair.preflight(BLUE)
        assert any(finding.severity is Severity.GOOD for finding in found)
        assert all(finding.check and finding.object and finding.seen for finding in found)
        assert all(finding.remedy for finding in found if finding.severity is not Severity.GOOD)

    async def test_one_pilot(self, pair: Servers, second: Servers) -> None:
        await pair.lock("cockpit ann@ops pid 7")
        await pair.lock("cockpit ann@ops pid 7")
        with pytest.raises(Refused, match="ann@ops"):
            await second.lock("cockpit bob@ops pid 8")

    async def test_who_sat_down_first_finds_that_another_has_since(self, pair: Servers, second: Servers) -> None:
        await pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        await arm(pair)
        await pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        await made_so(pair.fence(GREEN, on=True))
        await pair.close()
        await second.lock("cockpit bob@ops pid 8", Claim("seat b"))
        await made_so(second.fence(BLUE, on=True))
        await second.close()
        for fence in (pair.fence(BLUE, on=False), pair.fence(GREEN, on=True)):
            with pytest.raises(Superseded, match=r"taken up by .*bob@ops pid 8"):
                await fence.apply()
        for heir in (False, True):
            with pytest.raises(Superseded, match=r"taken up by .*bob@ops pid 8"):
                await pair.lock("cockpit ann@ops pid 7", Claim("seat a", heir=heir))
        assert (await pair.fence(BLUE, on=True).probe()).done

    async def test_an_heir_whom_nobody_has_answered_yet_opens_nothing(self, pair: Servers, second: Servers) -> None:
        await arm(pair)
        await pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        await made_so(pair.fence(BLUE, on=True))
        question = asyncio.create_task(second.lock("cockpit bob@ops pid 8", Claim("seat b", heir=True)))
        await asyncio.sleep(0)
        with pytest.raises(Superseded, match=r"taken up by .*ann@ops pid 7"):
            await second.fence(BLUE, on=False).apply()
        assert (await pair.fence(BLUE, on=True).probe()).done
        with pytest.raises(Superseded):
            await question

    async def test_who_takes_a_run_up_sits_down_only_where_nobody_else_has(self, pair: Servers, second: Servers) -> None:
        await arm(pair)
        await pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        assert {sat.seat for sat in (await pair.seated()).values()} == {"seat a"}
        await pair.close()
        with pytest.raises(Superseded, match=r"taken up by .*ann@ops pid 7"):
            await second.lock("cockpit bob@ops pid 8", Claim("seat b", before=frozenset({"seat z"})))
        seated = await second.seated()
        assert {side: sat.seat for side, sat in seated.items()} == {BLUE: "seat a", GREEN: "seat a"}
        assert all("ann@ops pid 7" in sat.owner and sat.at for sat in seated.values())
        await second.lock("cockpit bob@ops pid 8", Claim("seat b", before=frozenset({"seat z", "seat a"})))
        assert {sat.seat for sat in (await second.seated()).values()} == {"seat b"}

    async def test_an_heir_that_finds_a_pair_cleaned_up_opens_nothing(self, pair: Servers, second: Servers) -> None:
        await arm(pair)
        await pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        await pair.close()
        for side in (GREEN, BLUE):
            await made_so(second.gone(side))
        with pytest.raises(Superseded, match="cleaned up"):
            await pair.lock("cockpit ann@ops pid 6", Claim("seat a", heir=True))
        for side in (BLUE, GREEN):
            with pytest.raises(Superseded, match="cleaned up"):
                await pair.fence(side, on=False).apply()

    async def test_an_heir_takes_nothing_from_who_sits_there(self, pair: Servers, second: Servers) -> None:
        await arm(pair)
        await pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        with pytest.raises(Flown) as caught:
            await second.lock("cockpit ann@ops pid 6", Claim("seat a", heir=True))
        assert not isinstance(caught.value, Superseded), "the same seat, which its pilot still holds"
        with pytest.raises(Superseded):
            await second.lock("cockpit bob@ops pid 8", Claim("seat b", heir=True))
        await made_so(pair.fence(GREEN, on=True))

    async def test_every_object_is_listed_and_removed(self, pair: Servers) -> None:
        assert all(re.match(r"(blue|green): .*cockpit_", name) for name in pair.objects())
        await arm(pair)
        for side in (BLUE, GREEN):
            assert not (await pair.gone(side).probe()).done
        for side in (GREEN, BLUE):
            await made_so(pair.gone(side))

    async def test_the_sides_part_and_what_one_has_alone_is_on_the_bill(self, pair: Servers) -> None:
        await arm(pair)
        await pair.canary(BLUE, GREEN).apply()
        assert await pair.heard(GREEN, BLUE) is not None
        even = await pair.bill(BLUE, GREEN)
        assert (even.origin, even.target, even.total, even.exact) == (BLUE, GREEN, 0, True)
        assert LSN.fullmatch(even.from_lsn)
        assert LSN.fullmatch(even.to_lsn)
        assert not (await pair.parted(BLUE, GREEN).probe()).done
        await made_so(pair.parted(BLUE, GREEN))
        assert await pair.heard(GREEN, BLUE) is None
        await pair.sequences_beyond(BLUE, GREEN).apply()
        evidence = await pair.sequences_beyond(BLUE, GREEN).apply()
        assert {"count", "moved", "unseen"} == evidence.keys()
        await made_so(pair.replicate(BLUE, GREEN, copy=False))
        await pair.canary(BLUE, GREEN).apply()
        assert (await pair.bill(BLUE, GREEN)).total == 0, "what the cockpit writes itself is on no bill"

    async def test_what_a_slot_keeps_after_the_release_nobody_takes_away(self, pair: Servers) -> None:
        await arm(pair)
        await made_so(pair.parted(BLUE, GREEN))
        assert not (await pair.released(GREEN).probe()).done
        await made_so(pair.released(GREEN))
        await pair.released(GREEN).apply()
        with pytest.raises(SystemFault, match="was parted from its slot: blue keeps what green has not"):
            await pair.replicate(BLUE, GREEN, copy=False).apply()
        assert (await pair.bill(BLUE, GREEN)).exact, "the slot is there and readable"
        assert (await pair.gone(GREEN).probe()).evidence["parted"]
        assert "parted" not in (await pair.gone(BLUE).probe()).evidence
        await made_so(pair.parted(GREEN, BLUE))
        for side in (GREEN, BLUE):
            await made_so(pair.gone(side))
        await arm(pair)
