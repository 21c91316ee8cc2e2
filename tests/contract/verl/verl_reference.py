"""One batch for verl's `ppo_loss` in both of its layouts, and what its loss should be, in plain floats and loops."""

import math

import torch

PROMPTS, RESPONSES = [3, 2, 4, 1], [11, 6, 9, 1]
WIDTH = max(RESPONSES)
FIELDS = ("old", "new", "adv", "weight", "mask")
# A token inside the second response, as a tool's output is, and the whole last response do not count.
UNCOUNTED = {(1, 1), (3, 0)}


def batch(seed=0, dtype=torch.float32):
    """Rows of tokens: old and new log-probs, advantages, importance weights, counted or not."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i, length in enumerate(RESPONSES):
        p = torch.rand(length, generator=generator)
        old = torch.log(p**3 * 0.98 + 0.01)
        new = (old + 0.7 * torch.randn(length, generator=generator)).clamp_max(-1e-3)
        advantages = torch.randn(length, generator=generator)
        weights = 0.5 + torch.rand(length, generator=generator)
        counted = torch.tensor([(i, t) not in UNCOUNTED for t in range(length)])
        rows.append({"old": old.to(dtype), "new": new.to(dtype), "adv": advantages, "weight": weights, "mask": counted})
    return rows


def kl_bounds(p, delta):
    """Probabilities q <= p <= q' with KL(p || q) = δ for the sampled token against all others, by bisection."""

    def kl(q):
        rest = (1 - p) * (math.log1p(-p) - math.log1p(-q)) if p < 1 else 0.0
        return p * math.log(p / q) + rest

    def root(inside, outside):
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if kl(middle) < delta else (inside, middle)
        return inside

    return root(p, 1e-300), root(p, 1.0 - 1e-16)


def token(old, new, advantage, low, high, dual_clip=None):
    """Loss, gradient and which clip acted, of one token whose ratio is bounded by low .. high."""
    ratio = math.exp(new - old)
    clipped = min(max(ratio, low), high)
    loss, gradient = -advantage * ratio, -advantage * ratio
    is_clipped = -advantage * clipped > loss
    if is_clipped:
        loss, gradient = -advantage * clipped, 0.0
    is_dual = dual_clip is not None and advantage < 0 and loss > -advantage * dual_clip
    if is_dual:
        loss, gradient = -advantage * dual_clip, 0.0
    return loss, gradient, is_clipped, is_dual


def denominators(mode, rows, dp_size=1, batch_num_tokens=None, global_batch_size=None, loss_scale_factor=None):
    """What the loss of a token of each row is divided by, so that the sum over tokens is verl's loss."""
    lengths = [int(row["mask"].sum()) for row in rows]
    tokens = batch_num_tokens or sum(lengths)
    sequences = global_batch_size or sum(length > 0 for length in lengths)
    per_row = {
        "token-mean": [tokens] * len(rows),
        "token-sum": [1] * len(rows),
        "seq-mean-token-sum": [sequences] * len(rows),
        "seq-mean-token-sum-norm": [sequences * (loss_scale_factor or WIDTH)] * len(rows),
        "seq-mean-token-mean": [sequences * max(length, 1) for length in lengths],
    }[mode]
    return [one / dp_size for one in per_row]


def reference(rows, bounds, mode, weighted=False, dual_clip=None, **information):
    """Loss, gradient of every new log-prob (rows of different lengths), and the three metrics of verl's dashboards."""
    total, gradients, clipped, dual, kl, count = 0.0, [], 0, 0, 0.0, 0
    for row, denominator in zip(rows, denominators(mode, rows, **information), strict=True):
        line = []
        for old, new, advantage, weight, counted in zip(*(row[name].tolist() for name in FIELDS), strict=True):
            if not counted:
                line.append(0.0)
                continue
            loss, gradient, is_clipped, is_dual = token(old, new, advantage, *bounds(old), dual_clip)
            factor = (weight if weighted else 1.0) / denominator
            total += loss * factor
            line.append(gradient * factor)
            clipped, dual, count = clipped + is_clipped, dual + is_dual, count + 1
            kl += old - new
        gradients.append(line)
    metrics = {
        "actor/pg_clipfrac": clipped / count,
        "actor/ppo_kl": kl / count,
        "actor/pg_clipfrac_lower": dual / count,
    }
    return total, gradients, metrics


def band_kl(delta):
    def bounds(old):
        low, high = kl_bounds(math.exp(old), delta)
        return low / math.exp(old), high / math.exp(old)

    return bounds


def fixed(low=0.2, high=0.2):
    return lambda old: (1 - low, 1 + high)


def nest(tensors):
    return torch.nested.as_nested_tensor(list(tensors), layout=torch.jagged)


def padded(tensors, fill=0.0):
    """(rows, WIDTH), padded on the right."""
    out = torch.full((len(tensors), WIDTH), fill, dtype=tensors[0].dtype)
    for i, tensor in enumerate(tensors):
        out[i, : len(tensor)] = tensor
    return out


def inputs(rows, layout, weighted=False, dp_size=1, batch_num_tokens=None, global_batch_size=None):
    """(leaf, model_output, data) for `ppo_loss`; the leaf holds all tokens' log-probs, prompts' included.

    The padded layout has garbage where nothing counts, as an engine may leave there.
    """
    from tensordict import TensorDict
    from verl.utils import tensordict_utils as tu

    # Position t of a sequence predicts token t + 1.
    leaf = torch.cat(
        [torch.cat([torch.full((p - 1,), -1.0).to(row["new"]), row["new"], row["new"].new_full((1,), -0.5)])
         for p, row in zip(PROMPTS, rows, strict=True)]
    ).requires_grad_()  # fmt: skip
    lengths = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    log_probs = torch.nested.nested_tensor_from_jagged(leaf, offsets=offsets)
    if layout == "nested":
        prompts, responses = (nest(torch.zeros(n, dtype=torch.long) for n in ns) for ns in (PROMPTS, RESPONSES))
        make = {name: nest(row[name] for row in rows) for name in ("old", "adv", "weight", "mask")}
        mask = nest(torch.ones(n, dtype=torch.long) for n in lengths)
    else:
        longest = max(PROMPTS)
        prompts = torch.zeros(len(rows), longest, dtype=torch.long)
        responses = torch.zeros(len(rows), WIDTH, dtype=torch.long)
        make = {name: padded([row[name] for row in rows], math.nan) for name in ("old", "adv", "weight")}
        make["mask"] = padded([row["mask"] for row in rows], False)
        mask = torch.zeros(len(rows), longest + WIDTH, dtype=torch.long)
        for i, (p, r) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
            mask[i, longest - p : longest + r] = 1
    names = {"old": "old_log_probs", "adv": "advantages", "mask": "response_mask"}
    fields = {name: make[short] for short, name in names.items()}
    fields |= {"rollout_is_weights": make["weight"]} if weighted else {}
    fields |= {"prompts": prompts, "responses": responses, "attention_mask": mask}
    data = TensorDict(fields, batch_size=[len(rows)])
    tu.assign_non_tensor(data, dp_size=dp_size, batch_num_tokens=batch_num_tokens, global_batch_size=global_batch_size)
    return leaf, {"log_probs": log_probs}, data


def response_gradients(leaf):
    """The leaf's gradient at the responses' tokens, row by row."""
    lines, start = [], 0
    for p, r in zip(PROMPTS, RESPONSES, strict=True):
        lines.append(leaf.grad[start + p - 1 : start + p - 1 + r].tolist())
        start += p + r
    return lines
