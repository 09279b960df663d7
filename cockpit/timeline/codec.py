"""Events and samples as JSON lines, by `msgspec`: strict in types, lenient in unknown fields so that a newer file still reads."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from cockpit.errors import JournalError
from cockpit.model.events import FACTS, Event, Fact
from cockpit.model.telemetry import SAMPLE_KINDS, SAMPLES, Sample

_encoder = msgspec.json.Encoder()


def encode_event(event: Event, prev: str) -> bytes:
    """The event's JSON object without its closing brace, so that the journal can append the hash of exactly these bytes."""
    body = _encoder.encode(
        {"seq": event.seq, "at": event.at, "mono": event.mono, "by": event.by, "kind": event.kind, "fact": event.fact, "prev": prev}
    )
    return body[:-1]


def decode_event(line: bytes) -> tuple[Event, str]:
    """The event of one line and the hash it says the line before had; `JournalError` where it is none of ours."""
    try:
        raw: dict[str, Any] = msgspec.json.decode(line)
        fact: Fact = msgspec.convert(raw["fact"], FACTS[raw["kind"]], strict=True)
        return Event(raw["seq"], raw["at"], raw["mono"], raw["by"], fact), raw["prev"]
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError) as err:
        raise JournalError(f"is not an event ({type(err).__name__})") from None


def encode_sample(sample: Sample) -> bytes:
    """One sample as a JSON line, newline included."""
    return _encoder.encode({"k": SAMPLE_KINDS[type(sample)], "s": sample}) + b"\n"


class _SampleLine(msgspec.Struct):
    k: str
    s: msgspec.Raw


_sample_line = msgspec.json.Decoder(_SampleLine)


@cache
def _decoder(kind: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(SAMPLES[kind])


def decode_sample(line: bytes) -> Sample | None:
    """The sample of a line, or None: a sample that cannot be read is passed over, never fatal."""
    try:
        found = _sample_line.decode(line)
        sample: Sample = _decoder(found.k).decode(found.s)
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
        return None
    return sample
