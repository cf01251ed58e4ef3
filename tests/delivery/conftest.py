"""Makes the sample runs of the report's tests importable."""

import sys
from pathlib import Path

_SAMPLES = str(Path(__file__).resolve().parent.parent / "report")
if _SAMPLES not in sys.path:
    sys.path.insert(0, _SAMPLES)

sys.path.insert(0, str(Path(__file__).resolve().parent))
