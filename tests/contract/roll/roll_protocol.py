"""ROLL's RLVR actor as far as an adapter meets it, written from commit 8eb27cc2, after 0.3.0:
roll/pipeline/rlvr/actor_worker.py (`ActorWorker.loss_func` line 11) and roll/pipeline/base_worker.py
(`get_old_log_probs_with_cache` 173)."""

import torch


class ActorWorker:
    def __init__(self, worker_config):
        self.worker_config, self.pipeline_config, self.strategy = worker_config, None, None

    def initialize(self, pipeline_config):
        self.pipeline_config = pipeline_config

    initialize.dispatched = "one to all"

    def get_old_log_probs_with_cache(self, data, log_probs):
        return data.batch["old_log_probs"]

    def loss_func(self, data, output_tensor):
        config, mask = self.pipeline_config, data.batch["response_mask"][:, 1:].long()
        advantages = data.batch["advantages"]
        log_probs = self.strategy.op_compute_log_probs(
            logits=output_tensor, input_ids=data.batch["input_ids"], attention_mask=data.batch["response_mask"]
        )
        old = self.get_old_log_probs_with_cache(data, log_probs)
        ratio = (log_probs - old).exp()
        low = config.pg_clip_low if config.use_pg_clip_range else config.pg_clip
        high = config.pg_clip_high if config.use_pg_clip_range else config.pg_clip
        free, clipped = ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages
        loss = -torch.min(free, clipped)
        if config.dual_clip_loss:
            capped = -torch.max(-loss, (1 + config.pg_clip * 2) * advantages)
            loss = torch.where(advantages < 0, capped, loss)
        if config.train_infer_correction.is_weight.enabled:
            loss = loss * data.batch["train_infer_is_weight"]
        if config.loss_agg_mode == "token-mean":  # without the mask, as ROLL's own
            total = loss.sum() / data.meta_info["batch_num_tokens"]["response_mask"]
        else:
            rows = (loss * mask).sum(-1) / (mask.sum(-1) + 1e-8)
            total = rows.sum() / (data.meta_info["global_valid_samples"]["response_mask"] + 1e-8)
        high_share = ((ratio > 1 + high) * mask).sum() / data.meta_info["batch_num_tokens"]["response_mask"]
        return total * config.rl_loss_coef, {"actor/ppo_ratio_high_clipfrac@sum": high_share.item()}
