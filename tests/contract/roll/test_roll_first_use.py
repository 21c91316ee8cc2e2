"""At the first use of a batch ROLL's old log-probs are the policy's, or a warning says why not."""

import json
from types import SimpleNamespace

import first_uses
import torch
from test_roll_signature import configuration, worker_class  # noqa: F401


class Scored:
    """ROLL's strategy, whose log-probs are those of the batch."""

    def op_compute_log_probs(self, logits, input_ids, attention_mask):
        return logits


def test_first_uses(worker_class, monkeypatch):  # noqa: F811
    worker = worker_class(SimpleNamespace(system_envs={"BANDPO": json.dumps({"method": "band-kl"})}))
    worker.initialize(configuration())
    worker.strategy = Scored()

    def loss(x, ids):
        batch = {
            "input_ids": ids,
            "response_mask": torch.nn.functional.pad(x.mask.long(), (1, 0)),
            "advantages": x.advantages,
            "old_log_probs": x.old,
            "infer_logprobs": x.rollout,
            "ref_log_probs": x.old,
            "train_infer_is_weight": torch.ones_like(x.old),
        }
        meta = {"batch_num_tokens": {"response_mask": 50}, "global_valid_samples": {"response_mask": 7}}
        return worker.loss_func(SimpleNamespace(batch=batch, non_tensor_batch={}, meta_info=meta), x.new)[1]

    first_uses.assert_seen(loss, monkeypatch, name="actor/band/first_ratio_error@mean", has_ids=True)
