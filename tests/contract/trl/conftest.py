import os

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}

import pytest
import torch
from packaging.version import Version

trl = pytest.importorskip("trl", reason="TRL is not installed: pip install 'bandpo[train]'")
# Its stand-ins are for modules that came with this release; tests skip themselves before.
collect_ignore = ["trl_async.py"] if Version("1.16") > Version(trl.__version__) else []


def pytest_configure(config):
    # TRL's own default, which newer transformers call by another name.
    config.addinivalue_line("filterwarnings", "ignore:.*gradient_checkpointing.*:FutureWarning")


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
