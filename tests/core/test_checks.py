"""What may be looked at: tensors without values, and code that is traced, are never asked for theirs."""

import ast
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import bandpo

from .batches import NAMES, batch, each_tensor, loss_of
from .helpers import of_whole

DIVERGENCES = ("kl", "tv", "js", "alpha=1.5")
SOURCE = Path(bandpo.__file__).parent


@pytest.mark.parametrize("metrics", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_method_takes_fake_tensors_and_looks_at_none(name, metrics):
    with FakeTensorMode():
        given = each_tensor(batch(), lambda _, x: torch.empty(x.shape, dtype=x.dtype))
        given["logp"].requires_grad_()
        out = loss_of(name, given, metrics=metrics)
    assert out.per_token.shape == (5, 7)
    assert type(out.loss).__name__ == "FakeTensor"


@pytest.mark.parametrize("radius", [0.05, 0.3])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_bounds_of_fake_tensors_leave_nothing_behind_for_real_ones(name, radius):
    with FakeTensorMode():
        for delta in (radius, torch.tensor(radius)):
            assert bandpo.band(torch.empty(4), delta, name).low.shape == (4,)
    logp = torch.tensor([-1.0, -0.1])
    found, expected = bandpo.band(logp, radius, name), bandpo.band(logp.double(), radius, name)
    torch.testing.assert_close(found.high.double(), expected.high, rtol=1e-6, atol=0)


def test_fake_tensors_are_checked_for_what_they_have():
    with FakeTensorMode(), pytest.raises(ValueError, match=r"mask has shape \(2, 2\)"):
        bandpo.policy_loss(torch.empty(2, 3), torch.empty(2, 3), torch.empty(2), torch.empty(2, 2))
    with FakeTensorMode(), pytest.raises(ValueError, match=r"delta=-1\.0"):
        bandpo.band(torch.empty(3), -1.0)


@pytest.mark.parametrize("tracing_mode", ["real", "fake", "symbolic"])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_make_fx_records_bounds_that_give_the_same_numbers(name, tracing_mode):
    logp = torch.tensor([-5.0, -1.0, -0.1])
    graph = make_fx(lambda x: tuple(bandpo.band(x, 0.05, name)), tracing_mode=tracing_mode)(logp)
    other = torch.tensor([-3.0, -0.7, -1e-3])
    for found, expected in zip(graph(other), bandpo.band(other, 0.05, name), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


class Loss(torch.nn.Module):
    def __init__(self, method):
        super().__init__()
        self.method = method

    def forward(self, *inputs):
        return bandpo.policy_loss(*inputs, method=self.method).loss


@of_whole
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("method", ["band-kl", "band-js", "maspo", "grpo"])
def test_exported_losses_are_the_eager_ones(method, strict):
    generator = torch.Generator().manual_seed(0)
    logp, old = (torch.rand(2, 3, generator=generator) - 2 for _ in range(2))
    inputs = logp, old, torch.tensor([1.0, -1.0]), torch.ones(2, 3, dtype=torch.bool)
    program = torch.export.export(Loss(method), inputs, strict=strict)
    torch.testing.assert_close(program.module()(*inputs), Loss(method)(*inputs), rtol=1e-6, atol=0)


def functions_of(path):
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "core").rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_no_function_of_the_core_imports_or_looks_at_the_machine(path):
    """A compiler traces them: look-ups belong to the module, imports of kernels into opaque operators."""
    for function in functions_of(path):
        for node in ast.walk(function):
            where = f"{path.name}:{getattr(node, 'lineno', '')} in {function.name}"
            assert not isinstance(node, (ast.Import, ast.ImportFrom)), f"{where} imports"
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            assert name not in {"find_spec", "import_module", "environ", "getenv"}, f"{where} uses {name}"
