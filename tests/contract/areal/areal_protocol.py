"""AReaL 1.0.4's actor loss as far as an adapter meets it, written from its areal/utils/functional/functional.py
(`ppo_actor_loss_fn` line 429) and areal/trainer/ppo/actor.py (`grpo_loss_fn` 408, which looks the function up in its
module)."""

import torch


def ppo_actor_loss_fn(
    logprobs,
    proximal_logprobs,
    old_logprobs,
    advantages,
    eps_clip,
    loss_mask,
    eps_clip_higher=None,
    c_clip=None,
    rejection_sampling=None,
    importance_sampling_level="token",
    cu_seqlens=None,
):
    count = loss_mask.count_nonzero() or 1
    ratio = torch.where(loss_mask, torch.exp(logprobs - proximal_logprobs), 0)
    clamped = ratio.clamp(1.0 - eps_clip, 1.0 + (eps_clip if eps_clip_higher is None else eps_clip_higher))
    free, clipped = -advantages * ratio, -advantages * clamped
    loss, stopped = torch.max(free, clipped), free.detach() < clipped.detach()
    if c_clip is not None:
        loss = torch.min(loss, torch.sign(advantages) * c_clip * advantages)
    if rejection_sampling is not None:
        weight = torch.exp(proximal_logprobs - old_logprobs).clamp(0.0, rejection_sampling.upper)
        loss = loss * torch.where(loss_mask, weight, 0.0)
    return torch.where(loss_mask, loss, 0).sum() / count, {"loss": loss.detach(), "clip_mask": stopped & loss_mask}


def module_of(stub, monkeypatch):
    """The actor's module, with the function in its globals."""
    module = stub(monkeypatch, "areal.trainer.ppo.actor", ppo_actor_loss_fn=ppo_actor_loss_fn)

    def grpo_loss_fn(logprobs, entropy, input_data, eps_clip, eps_clip_higher, c_clip, **settings):
        loss, _ = module.ppo_actor_loss_fn(
            logprobs=logprobs,
            old_logprobs=input_data["logprobs"],
            advantages=input_data["advantages"],
            eps_clip=eps_clip,
            eps_clip_higher=eps_clip_higher,
            loss_mask=input_data["loss_mask"].bool(),
            c_clip=c_clip,
            proximal_logprobs=input_data["prox_logp"],
            rejection_sampling=settings.get("rejection_sampling"),
            importance_sampling_level=settings.get("importance_sampling_level", "token"),
            cu_seqlens=input_data.get("cu_seqlens"),
        )
        return loss

    module.grpo_loss_fn = grpo_loss_fn
    return module
