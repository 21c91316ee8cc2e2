"""Two of transformer-engine's modules in torch, for `--spec slime_layers layers`: Megatron has no others that pack."""

import itertools

import torch
from torch.nn.functional import rms_norm, scaled_dot_product_attention


class PackedAttention(torch.nn.Module):
    """Causal attention within documents packed one after another, (tokens, heads, dim)."""

    def __init__(self, *_, **__):
        super().__init__()

    def forward(self, q, k, v, *_, packed_seq_params, **__):
        starts, documents = packed_seq_params.cu_seqlens_q.tolist(), []
        for start, end in itertools.pairwise(starts):
            heads_first = (x[start:end].transpose(0, 1) for x in (q, k, v))
            documents.append(scaled_dot_product_attention(*heads_first, is_causal=True).transpose(0, 1))
        return torch.cat(documents).flatten(1)


def normed_linear():
    """A class: Megatron's linear layer with the norm before it, under the names that slime's checkpoints know."""
    from megatron.core.tensor_parallel import ColumnParallelLinear

    class NormedLinear(ColumnParallelLinear):
        def __init__(self, input_size, output_size, *, config, **options):
            super().__init__(input_size, output_size, config=config, **options)
            self.layer_norm_weight = torch.nn.Parameter(torch.ones(input_size))

        def forward(self, x, *arguments, **options):
            normed = rms_norm(x, x.shape[-1:], self.layer_norm_weight, self.config.layernorm_epsilon)
            return super().forward(normed, *arguments, **options)

    return NormedLinear


def layers(args, config, vp_stage):
    """Megatron's own layer with these two in it, and no norm outside."""
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer.identity_op import IdentityOp

    spec = get_gpt_layer_local_spec()
    layer = spec.submodules
    layer.input_layernorm = layer.pre_mlp_layernorm = IdentityOp
    layer.self_attention.submodules.linear_qkv = layer.mlp.submodules.linear_fc1 = normed_linear()
    layer.self_attention.submodules.core_attention = PackedAttention
    return spec
