"""The samples file: what was measured, several lines a second, neither chained nor fsynced. A sample that cannot be written is lost."""

from __future__ import annotations

import os
from pathlib import Path

from cockpit.model.telemetry import Sample
from cockpit.timeline.codec import encode_sample

ROTATE_BYTES = 64 * 1024 * 1024


class Samples:
    """Appends samples; at 64 MB the file is set aside as `samples.jsonl.1` (one older file is kept) and a new one begun."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._size = 0

    def write(self, sample: Sample) -> None:
        """The sample is in the file, or lost where the disk refuses: telemetry never stops a handover."""
        line = encode_sample(sample)
        try:
            if self._descriptor < 0:
                self._open()
            self._size += os.write(self._descriptor, line)
            if self._size > ROTATE_BYTES:
                self._rotate()
        except OSError:
            self.close()

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self.close()
        os.replace(self._path, self._path.with_name(self._path.name + ".1"))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
