"""What one GPU says of this package, in at most six minutes: is it right, how fast, does training run there.

    python -m benchmarks.gpu [--only PART] [--device cpu --small]

Every part is a process of its own with a time limit, and writes what it has as it goes. See docs/gpu.md.
"""

import sys
from pathlib import Path

# A machine that is lent for minutes has this checkout and nothing installed from it.
_SOURCE = str(Path(__file__).parents[2] / "src")
if _SOURCE not in sys.path:
    sys.path.insert(0, _SOURCE)
