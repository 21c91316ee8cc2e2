"""What a process sets before it imports Axolotl."""

import os
import sys
from pathlib import Path

from bandpo.engines.common.releases import is_installed

os.environ |= {
    "AXOLOTL_DO_NOT_TRACK": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
if is_installed("axolotl"):
    # transformers imports the distribution `kernels`, in whose place it would find the folder tests/kernels.
    searched = list(sys.path)
    sys.path[:] = [folder for folder in searched if Path(folder).name != "tests"]
    import kernels  # noqa: F401

    sys.path[:] = searched
