"""At the first use of a batch NeMo-RL's old log-probs are the policy's, or a warning says why not."""

import first_uses
import torch
from test_nemo_rl_signature import engine, loss_of  # noqa: F401


def test_first_uses(engine, monkeypatch):  # noqa: F811
    function = loss_of(engine)
    lead = lambda t: torch.cat([torch.zeros(len(t), 1), t.float()], 1)  # noqa: E731

    def loss(x, ids):
        rounded = lead(x.old).to(x.old.dtype)
        data = {
            "token_mask": lead(x.mask),
            "sample_mask": torch.ones(len(ids)),
            "advantages": lead(x.advantages),
            "prev_logprobs": rounded,
            "generation_logprobs": rounded,
            "input_ids": ids,
        }
        tokens = x.mask.sum().float()
        return function(
            data=data,
            global_valid_toks=tokens,
            global_valid_seqs=torch.tensor(float(len(ids))),
            next_token_logprobs=x.new,
        )[1]

    first_uses.assert_seen(loss, monkeypatch, has_ids=True)
