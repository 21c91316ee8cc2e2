"""Recorded batches that `bandpo match --batch` cannot take: broken files, other shapes, no log-probs."""

from __future__ import annotations

from benchmarks.attack.case import Case

KIND = "recorded batches"
# How the arrays of a batch are made from a good (2, 3) one, `a`, with numpy as `np`.
_ARRAYS = {
    "no array": "{}",
    "no advantages": "dict(logp=a, logp_old=a)",
    "one dimension": "dict(logp=a[0], logp_old=a[0], advantages=a[0])",
    "other shapes": "dict(logp=a, logp_old=a[:, :2], advantages=a)",
    "advantages of another length": "dict(logp=a, logp_old=a, advantages=np.ones(5, 'f'))",
    "no token": "dict(logp=a[:, :0], logp_old=a[:, :0], advantages=a[:, :0])",
    "positive log-probs": "dict(logp=-a, logp_old=a, advantages=a)",
    "NaN": "dict(logp=a * np.nan, logp_old=a, advantages=a)",
    "minus infinity": "dict(logp=a * np.inf, logp_old=a, advantages=a)",
    "NaN among advantages": "dict(logp=a, logp_old=a, advantages=a * np.nan)",
    "a mask of zeros": "dict(logp=a, logp_old=a, advantages=a, mask=a * 0)",
    "a mask of NaN": "dict(logp=a, logp_old=a, advantages=a, mask=a * np.nan)",
    "integers": "dict(logp=a.astype(int), logp_old=a, advantages=a)",
    "texts": "dict(logp=np.array([['x']]), logp_old=a, advantages=a)",
    "complex numbers": "dict(logp=a + 0j, logp_old=a, advantages=a)",
    "objects, which numpy pickles": "dict(logp=np.array([[print]], dtype=object), logp_old=a, advantages=a)",
}
_FILES = {
    "nothing": b"",
    "zeros": bytes(1000),
    "text": b"logp: 1\n",
    "half an archive": b"PK\x03\x04 and no more",
    "a header of 2^60 bytes": (2**60).to_bytes(8, "little") + b"{}",
    "a header that is no JSON": (5).to_bytes(8, "little") + b"{{{{{" + bytes(100),
}


def cases() -> list[Case]:
    """Every array in .npz; every broken file under both endings."""
    found = []
    for name, arrays in _ARRAYS.items():
        setup = f"import numpy as np; a = -np.ones((2, 3), 'f'); np.savez('b.npz', **{arrays})"
        argv = ("match", "--batch", "b.npz", "--clip-fraction", "0.1")
        found.append(Case(KIND, f"b.npz: {name}", argv, setup=setup, says=("b.npz",)))
    for name, content in _FILES.items():
        for file in ("b.npz", "b.safetensors"):
            argv = ("match", "--batch", file, "--like", "grpo")
            found.append(Case(KIND, f"{file}: {name}", argv, {file: content}, says=(file,)))
    return found
