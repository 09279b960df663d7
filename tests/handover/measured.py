"""What is measured of a pair on which all is well."""

from __future__ import annotations

from cockpit.model.telemetry import LagSample, ReconSample
from cockpit.model.words import Side

LAG = LagSample(100.0, Side.BLUE, Side.GREEN, 0, 0.1, 1e6, 0.0, "s", "active", 0, "streaming", "running", 0.1, 0, 1, 1, reverse_armed=True)
RECON = ReconSample(100.0, 10, 10, 1, 1, 0, 0, 100.0, 0.01, 0.1)
