"""Pointwise convolution, batch norm and weighted sum as one product, without computing what the norm normalises.

Of features d (P, D) with mean 0 over the P positions, the map z = d W^T has mean 0 and, in channel c, the variance
w_c^T G w_c / P with G = d^T d. Dividing by its root changes W alone, and so does a mixing weight or a dropped path: a
node is the sum of d_t M_t over its terms t, accumulated in place.

Shapes: T terms of D features to C channels; N samples, P = N * prod(S) positions; R is N, or 1 where all samples have
the same coefficients, and Q = P / R; features and maps (N, *S, D), weights (T, C, D).
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from nasdrop.models.supernet.packed.depthwise import Window, depthwise, input_gradient, weight_gradient

EPS = 1e-5
"""What is added to the variances."""


def centred_depthwise(x: Tensor, weight: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """A depthwise convolution less its mean over all positions, and that mean (D,), which has no gradient.

    The gradient that comes in has to have mean 0 over the positions, as those of `hidden` and `weighted_products` do.
    """
    return cast(tuple[Tensor, Tensor], _apply(_CentredDepthwise, x, weight, window))


def hidden(weights: Tensor, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Pointwise convolution, batch norm and ReLU of each of several features.

    Args:
        weights: (T, C, D).
        features: T times (N, *S, D), each of mean 0; their gradients have mean 0 too.

    Returns:
        T maps (N, *S, C), and one over the deviations that the norms saw (T, C), which has no gradient.
    """
    *maps, scale = cast(tuple[Tensor, ...], _apply(_Hidden, weights, *features))
    return maps, scale


def weighted_products(
    weights: Tensor, coefficients: Tensor, features: Sequence[Tensor], maps: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Sum pointwise convolutions with batch norms, and maps as they are, each times its coefficient.

    Args:
        weights: (T, C, D).
        coefficients: of the T features, then of the maps, (T + maps, R).
        features: T times (N, *S, D), each of mean 0; their gradients have mean 0 too.
        maps: each (N, *S, C).

    Returns:
        The sum (N, *S, C), and one over the deviations that the norms saw (T, C), which has no gradient.
    """
    return cast(tuple[Tensor, Tensor], _apply(_WeightedProducts, weights, coefficients, *features, *maps))


def fold(weights: Tensor, products: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Divide weights by the standard deviations of what they make.

    Args:
        weights: (T, C, D).
        products: of the features with each other, summed over the positions, (T, D, D).
        positions: how many.

    Returns:
        The divided weights, and one over the deviations (T, C).
    """
    variances = ((weights @ products) * weights).sum(-1) / positions
    scale = (variances + EPS).rsqrt()
    return scale.unsqueeze(-1) * weights, scale


def fold_gradients(
    gradient: Tensor, weights: Tensor, products: Tensor, scale: Tensor, positions: int
) -> tuple[Tensor, Tensor]:
    """From the gradient of divided weights that of the weights, and the matrices (T, D, D) that lead back to features.

    A feature times its matrix is its share of the gradient through the variances.
    """
    of_variances = (gradient * weights).sum(-1) * scale**3 / -positions
    weighted = of_variances.unsqueeze(-1) * weights
    return torch.baddbmm(scale.unsqueeze(-1) * gradient, weighted, products), weights.mT @ weighted


def _measure(features: Sequence[Tensor]) -> Tensor:
    """The products of each feature's channels with each other, summed over the positions: (T, D, D)."""
    width = features[0].shape[-1]
    products = features[0].new_empty(len(features), width, width)
    for feature, product in zip(features, products, strict=True):
        rows = feature.view(-1, width)
        torch.mm(rows.t(), rows, out=product)
    return products


def _positions(feature: Tensor) -> int:
    return feature.numel() // feature.shape[-1]


class _CentredDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        ctx.window = window
        ctx.save_for_backward(x, weight)
        features = depthwise(x, weight, window)
        mean = features.view(-1, features.shape[-1]).mean(0)
        ctx.mark_non_differentiable(mean)
        return features.sub_(mean), mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        wants_x, wants_weight, _ = ctx.needs_input_grad
        of_x = input_gradient(gradient, weight, ctx.window, x.shape[1:-1]) if wants_x else None
        return of_x, weight_gradient(gradient, x, ctx.window) if wants_weight else None, None


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
        products = _measure(features)
        folded, scale = fold(weights, products, _positions(features[0]))
        maps = [(feature @ weight.t()).relu_() for feature, weight in zip(features, folded, strict=True)]
        ctx.save_for_backward(weights, products, scale, *features, *maps)
        ctx.mark_non_differentiable(scale)
        return *maps, scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, products, scale, *saved = ctx.saved_tensors
        features, maps = saved[: len(weights)], saved[len(weights) :]
        if torch.is_grad_enabled():
            return _gradients_of(_plain_hidden, (weights, *features), gradients[:-1], ctx.needs_input_grad)
        masked = [
            torch.ops.aten.threshold_backward(gradient, made, 0.0).flatten(0, -2)
            for gradient, made in zip(gradients, maps, strict=False)
        ]
        of_folded = torch.empty_like(weights)
        for gradient, feature, result in zip(masked, features, of_folded, strict=True):
            torch.mm(gradient.t(), feature.flatten(0, -2), out=result)
        of_weights, through_norm = fold_gradients(of_folded, weights, products, scale, len(masked[0]))
        folded = scale.unsqueeze(-1) * weights
        means = torch.stack([gradient.mean(0) for gradient in masked]).unsqueeze(1) @ folded
        terms = zip(masked, features, folded, through_norm, means, ctx.needs_input_grad[1:], strict=True)
        of_features = [
            (gradient @ weight).addmm_(feature.flatten(0, -2), share).sub_(mean).view_as(feature) if wants else None
            for gradient, feature, weight, share, mean, wants in terms
        ]
        return of_weights, *of_features


class _WeightedProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, coefficients: Tensor, *features_and_maps: Tensor) -> tuple[Tensor, Tensor]:
        features, maps = features_and_maps[: len(weights)], features_and_maps[len(weights) :]
        like, rows = features_and_maps[0], coefficients.shape[1]
        total = like.new_zeros(rows, _positions(like) // rows, weights.shape[1])
        products, scale = weights.new_empty(0), weights.new_empty(0, weights.shape[1])
        if features:
            products = _measure(features)
            folded, scale = fold(weights, products, _positions(like))
            for feature, matrix in zip(features, _scaled(folded.mT, coefficients), strict=True):
                total.baddbmm_(feature.view(rows, -1, feature.shape[-1]), matrix)
        for made, coefficient in zip(maps, coefficients[len(weights) :], strict=True):
            total.addcmul_(made.view_as(total), coefficient.view(-1, 1, 1))
        ctx.save_for_backward(weights, coefficients, products, scale, *features_and_maps)
        ctx.mark_non_differentiable(scale)
        return total.view(*like.shape[:-1], weights.shape[1]), scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, coefficients, products, scale, *saved = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = (weights, coefficients, *saved)
            return _gradients_of(_plain_products, inputs, gradients[:1], ctx.needs_input_grad)
        terms, rows = len(weights), coefficients.shape[1]
        gradient = gradients[0].reshape(rows, -1, weights.shape[1])
        wanted = ctx.needs_input_grad[2:]
        of_weights, of_coefficients, of_features = _products_gradients(
            gradient, weights, coefficients[:terms], products, scale, saved[:terms], wanted[:terms]
        )
        of_maps: list[Tensor | None] = []
        for made, coefficient, wants in zip(saved[terms:], coefficients[terms:], wanted[terms:], strict=True):
            of_maps.append((gradient * coefficient.view(-1, 1, 1)).view_as(made) if wants else None)
            if ctx.needs_input_grad[1]:
                of_coefficients.append((gradient * made.view_as(gradient)).sum((1, 2)).unsqueeze(0))
        stacked = torch.cat(of_coefficients) if ctx.needs_input_grad[1] else None
        return of_weights, stacked, *of_features, *of_maps


def _products_gradients(
    gradient: Tensor,
    weights: Tensor,
    coefficients: Tensor,
    products: Tensor,
    scale: Tensor,
    features: Sequence[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, list[Tensor], list[Tensor | None]]:
    """The share of the features in the gradient of weighted products; `gradient` is (R, Q, C)."""
    if not features:
        return None, [], []
    terms, rows = coefficients.shape
    together = weights.new_empty(terms, rows, weights.shape[2], weights.shape[1])
    for feature, product in zip(features, together, strict=True):
        torch.bmm(feature.view(rows, -1, feature.shape[-1]).mT, gradient, out=product)
    flat = together.view(terms, rows, -1)
    folded = scale.unsqueeze(-1) * weights
    of_folded = (coefficients.unsqueeze(1) @ flat).view_as(weights.mT).mT
    of_coefficients = (flat @ folded.mT.reshape(terms, -1, 1)).squeeze(-1)
    of_weights, through_norm = fold_gradients(of_folded, weights, products, scale, _positions(features[0]))
    scaled = _scaled(folded, coefficients)
    means = (coefficients @ (gradient.mean(1) / rows)).unsqueeze(1) @ folded
    of_features: list[Tensor | None] = []
    for feature, matrix, share, mean, wants in zip(features, scaled, through_norm, means, wanted, strict=True):
        result = torch.bmm(gradient, matrix).view(-1, feature.shape[-1]) if wants else None
        if result is not None:
            result = result.addmm_(feature.flatten(0, -2), share).sub_(mean).view_as(feature)
        of_features.append(result)
    return of_weights, [of_coefficients], of_features


def _scaled(weights: Tensor, coefficients: Tensor) -> Tensor:
    """Each term's matrix times its coefficients: (T, X, Y) and (T and more, R) -> (T, R, X, Y)."""
    return weights.unsqueeze(1) * coefficients[: len(weights), :, None, None]


def _plain_hidden(weights: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
    """`hidden` in differentiable operations."""
    centred, folded = _plain_fold(weights, features)
    return tuple(F.relu(feature @ weight.t()) for feature, weight in zip(centred, folded, strict=True))


def _plain_products(weights: Tensor, coefficients: Tensor, *features_and_maps: Tensor) -> tuple[Tensor]:
    """`weighted_products` in differentiable operations."""
    terms, rows = len(weights), coefficients.shape[1]
    features, maps = features_and_maps[:terms], features_and_maps[terms:]
    factors = [coefficient.view(-1, 1, 1) for coefficient in coefficients]
    made = list(maps)
    if features:
        centred, folded = _plain_fold(weights, features)
        made = [feature @ weight.t() for feature, weight in zip(centred, folded, strict=True)] + made
    total = sum(value.reshape(rows, -1, value.shape[-1]) * factor for value, factor in zip(made, factors, strict=True))
    return (cast(Tensor, total).view(*made[0].shape),)


def _plain_fold(weights: Tensor, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Features less their means, which are 0: so their gradients have mean 0; and the folded weights."""
    flat = [feature.flatten(0, -2) for feature in features]
    flat = [rows - rows.mean(0) for rows in flat]
    folded, _ = fold(weights, torch.stack([rows.t() @ rows for rows in flat]), len(flat[0]))
    return [rows.view_as(feature) for rows, feature in zip(flat, features, strict=True)], folded


def _apply(function: type[torch.autograd.Function], *inputs: Any) -> Any:
    return function.apply(*inputs)  # type: ignore[no-untyped-call]


def _gradients_of(
    compute: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Gradients that can be differentiated again."""
    outputs = compute(*inputs)
    chosen = [x for x, wants in zip(inputs, wanted, strict=True) if wants]
    found = iter(torch.autograd.grad(outputs, chosen, gradients, create_graph=True))
    return tuple(next(found) if wants else None for wants in wanted)
