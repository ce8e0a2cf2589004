"""Grad-CAM against a classifier whose maps are known by hand, and on the models that it is used on."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from patchcert import InputError
from patchcert.models import registry
from patchcert.models.grad_cam import feature_layers, grad_cam

torch.set_num_threads(1)


class Linear(nn.Module):
    """Two feature maps, the halved red and the green channel; the logits are weighted sums of their means."""

    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
        self.stages = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False))
        self.stages[0].weight.data = torch.tensor([[0.5, 0, 0], [0, 1, 0]])[:, :, None, None]
        self.head = nn.Linear(2, len(weights), bias=False)
        self.head.weight.data = torch.tensor(weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.stages(images).mean(dim=(2, 3)))
        return logits


def test_a_linear_model_by_hand() -> None:
    model = Linear([[2.0, -1.0], [0.0, 3.0]])
    red, green = torch.tensor([[4.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 6.0], [1.0, 8.0]])
    images = torch.stack([red, green, torch.full((2, 2), 9.0)])[None].repeat(2, 1, 1, 1)
    # the gradient of a logit at each of the 4 places is its weight / 4, and so is its mean over the places
    expected = torch.stack([(0.5 * (red / 2) - 0.25 * green).clamp(min=0), 0.75 * green])
    assert torch.allclose(grad_cam(model, images, torch.tensor([0, 1])), expected)


def test_maps_are_scaled_up_bilinearly() -> None:
    model = Linear([[2.0, 0.0], [0.0, 0.0]])
    model.stages = nn.Sequential(model.stages.append(nn.AvgPool2d(4)))
    images = torch.zeros(1, 3, 8, 8)
    images[:, 0, :4, :4] = 1.0
    (found,) = grad_cam(model, images, torch.tensor([0]))
    assert found.shape == (8, 8)
    assert found[0, 0] == pytest.approx(0.5 / 4 * 2)
    # half-way between two places the map is half of one
    assert found[0, 3] + found[0, 4] == pytest.approx(float(found[0, 0]))
    assert found[0, 7] == found[7, 7] == 0


def test_the_last_stage_that_is_fine_enough_gives_the_map() -> None:
    model = Linear([[2.0, 0.0], [0.0, 0.0]])
    model.stages.append(nn.AvgPool2d(4))  # 2x2 places are too few, so that the 8x8 of the first stage count
    red = torch.arange(64.0).view(8, 8)
    found = grad_cam(model, torch.stack([red, red, red])[None], torch.tensor([0]))
    assert torch.allclose(found[0], 2 / 64 * red / 2)


def test_what_a_next_stage_normalises_first_is_taken_as_it_comes_out_of_that() -> None:
    layers = {name: feature_layers(registry.build(name, 10, (32, 32))) for name in ("small_resnetv2", "small_convnext")}
    kinds = {name: [type(layer).__name__ for layer in found] for name, found in layers.items()}
    assert kinds == {"small_resnetv2": ["BatchNormAct2d"] * 3, "small_convnext": ["LayerNorm2d"] * 3 + ["ConvNeXtStage"]}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", ["small_resnetv2", "small_convnext", "small_vit", "small_resmlp"])
def test_every_small_model_has_a_map_that_moves_nothing(name: str, frozen: bool) -> None:
    torch.manual_seed(0)
    model = registry.build(name, 10, (32, 32)).eval().requires_grad_(not frozen)
    nn.init.normal_(model.get_classifier().weight)  # timm starts some with zeros, which no map can come from
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    images = torch.randn(5, 3, 32, 32)
    found = grad_cam(model, images, torch.arange(5))
    assert found.shape == (5, 32, 32)
    assert found.dtype == torch.float32
    assert (found >= 0).all()
    assert found.sum() > 0
    assert not found.requires_grad
    assert torch.allclose(grad_cam(model, images[2:3], torch.tensor([2])), found[2:3], atol=1e-6), "images do not mix"
    assert not torch.allclose(grad_cam(model, images, torch.arange(5) + 1), found), "the map is that of the label"
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "resnetv2_50x1_bit", "convnext_atto"])
def test_timms_models_have_one(name: str) -> None:
    model = timm.create_model(name, pretrained=False).eval()
    assert set(feature_layers(model)) <= set(model.modules())
    assert grad_cam(model, torch.randn(1, 3, 224, 224), torch.tensor([0])).shape == (1, 224, 224)


def test_a_class_token_is_no_place() -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=(32, 48), depth=2, num_classes=3).eval()
    assert grad_cam(model, torch.randn(2, 3, 32, 48), torch.tensor([0, 1])).shape == (2, 32, 48)


def test_a_model_that_is_built_otherwise() -> None:
    with pytest.raises(InputError, match=r"^gutout: no feature map is known of a Sequential; choose a model with stages"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.ones(1, 3, 2, 2), torch.tensor([0]))
