"""The ways in which attention is computed, against its formula in float64."""

from __future__ import annotations

import pytest
import torch

from pose3d.attention import mask_bias, mix_values


def formula(q, k, v, mask, scale):
    products = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        products = products.masked_fill(~mask, -torch.inf)
    return products.softmax(-1) @ v


@pytest.mark.parametrize("tokens", [(17, 12), (40, 70)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(("masked", "scale"), [(False, None), (False, 0.5), (True, 0.5)])
@pytest.mark.parametrize("as_bias", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients(tokens, dtype, tolerance, masked, scale, training, as_bias):
    """Written out for few bfloat16 tokens, torch's kernel otherwise: the same up to rounding."""
    rng = torch.Generator().manual_seed(0)
    asked, seen = tokens
    shapes = ((3, 2, asked, 8), (3, 2, seen, 8), (3, 2, seen, 8), (3, 2, asked, 8))
    q, k, v, pull = (torch.randn(shape, generator=rng).to(dtype) for shape in shapes)
    mask = torch.rand(asked, seen, generator=rng) < 0.7 if masked else None
    if mask is not None:
        mask[:, 0] = True
    exact = [x.double().requires_grad_() for x in (q, k, v)]
    mine = [x.clone().requires_grad_() for x in (q, k, v)]
    with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16, enabled=training):
        given = mask_bias(mask) if as_bias and mask is not None else mask
        answer = mix_values(*mine, mask=given, scale=scale)
    expected = formula(*exact, mask, scale)
    assert (answer.double() - expected).abs().max() < tolerance * expected.abs().max()
    if not training:
        return
    (answer * pull).sum().backward()
    (expected * pull.double()).sum().backward()
    for got, wanted in zip(mine, exact, strict=True):
        assert got.grad is not None
        difference = (got.grad.double() - wanted.grad).abs().max()
        assert difference < tolerance * wanted.grad.abs().max()


def test_a_mask_and_its_bias_are_the_same_to_the_bit():
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 50, 8, generator=rng) for _ in range(3))
    mask = torch.rand(2, 3, 50, 50, generator=rng) < 0.5
    mask[..., 0] = True
    bias = mask_bias(mask)
    assert torch.equal(bias == 0, mask)
    assert torch.equal(mix_values(q, k, v, mask=bias), mix_values(q, k, v, mask=mask))
