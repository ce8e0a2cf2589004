"""Classifiers by name: what is built, how images are handed to them, and weights on disk."""

from __future__ import annotations

import ast
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from patchcert import InputError, plugins
from patchcert.models import registry
from patchcert.models.names import split
from patchcert.models.published import published_source
from patchcert.models.smoothed import SmoothedVote

from ..published import timm_weights, tresnet_checkpoint

torch.set_num_threads(1)

SMALL = [name for name in registry.names() if name.startswith("small_")]
TIMM = "test_byobnet.r160_in1k"
TIMM_OF_JAX = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
"""First published in another form, which timm would expect of a file were it not told."""
TRESNET = "tresnet_l.miil_in1k_448"


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("classes", [2, 10])
def test_a_small_architecture_gives_logits_and_has_few_parameters(name: str, classes: int) -> None:
    torch.manual_seed(0)
    model = registry.build(name, classes, (32, 32)).eval()
    with torch.inference_mode():
        logits = model(torch.randn(3, 3, 32, 32))
    assert logits.shape == (3, classes)
    assert logits.isfinite().all()
    assert 100_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 500_000


@pytest.mark.parametrize("name", SMALL)
def test_a_small_architecture_takes_images_of_the_size_that_it_was_built_for(name: str) -> None:
    model = registry.build(name, 10, (64, 32)).eval()
    with torch.inference_mode():
        assert model(torch.randn(1, 3, 64, 32)).shape == (1, 10)


@pytest.mark.parametrize("name", SMALL)
def test_every_pixel_and_every_channel_counts(name: str) -> None:
    torch.manual_seed(0)
    built = registry.build(name, 10, (32, 32)).eval()
    model = built.base if isinstance(built, SmoothedVote) else built  # votes have no gradients, what they count has
    for parameter in model.parameters():  # timm starts the last layer of some at zero
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.randn(1, 3 if model is built else 6, 32, 32, requires_grad=True)
    model(images).square().sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert (images.grad.abs().amax(dim=(0, 1)) > 0).float().mean() > 0.95
    assert (images.grad.abs().amax(dim=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", SMALL)
def test_building_depends_on_the_seed_alone(name: str) -> None:
    states = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        states.append(
            torch.cat([tensor.float().flatten() for tensor in registry.build(name, 10, (32, 32)).state_dict().values()])
        )
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("size", [(32, 32), (48, 32)])
def test_the_resnet_of_cifar_keeps_every_pixel_up_to_its_first_stage(size: tuple[int, int]) -> None:
    states, kept = [], []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        model = registry.build("cifar_resnet18", 7, size).eval()
        states.append(torch.cat([tensor.float().flatten() for tensor in model.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    for number in (1, 4):
        model.get_submodule(f"layer{number}").register_forward_hook(lambda _, given, out: kept.append(out.shape[1:]))
    with torch.inference_mode():
        assert model(torch.randn(2, 3, *size)).shape == (2, 7)
    assert kept == [(64, *size), (512, size[0] // 8, size[1] // 8)]
    assert model.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_a_timm_model_is_built_without_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create = timm.create_model

    def create_model(name: str, **settings: object) -> torch.nn.Module:
        asked.append((name, settings))
        return create(name, **settings)

    monkeypatch.setattr(timm, "create_model", create_model)
    model = registry.build(TIMM, 7, (160, 160)).eval()
    assert asked == [(TIMM, {"pretrained": False, "num_classes": 7})]
    with torch.inference_mode():
        assert model(torch.randn(2, 3, 160, 160)).shape == (2, 7)


# --- names that are refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [lambda name: registry.build(name, 10, (32, 32)), registry.normalisation])
def test_a_timm_name_without_its_tag_is_answered_with_the_full_names(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        function("resmlp_24_224")
    assert str(caught.value) == (
        "model: 'resmlp_24_224' names no weights; write the full name, one of resmlp_24_224.fb_dino, "
        "resmlp_24_224.fb_distilled_in1k, resmlp_24_224.fb_in1k"
    )


def test_a_timm_name_with_an_unknown_tag_is_answered_with_the_full_names() -> None:
    with pytest.raises(
        InputError, match=r"'resmlp_24_224\.fb' names no weights; write the full name, one of resmlp_24_224\.fb_d"
    ):
        registry.build("resmlp_24_224.fb", 10, (224, 224))


def test_a_timm_architecture_without_published_weights() -> None:
    with pytest.raises(InputError) as caught:
        registry.build("beit3_giant_patch14_224", 10, (224, 224))
    assert str(caught.value) == (
        "model: 'beit3_giant_patch14_224' names no weights; timm has none for it; choose another model"
    )


def test_an_unknown_timm_name_is_answered_with_near_ones() -> None:
    with pytest.raises(
        InputError, match=r"timm has no 'vit_bse_patch16_224\.augreg_in21k'; did you mean vit_base_patch16_224\."
    ):
        registry.build("vit_bse_patch16_224.augreg_in21k", 10, (224, 224))


def test_an_unknown_timm_name_that_is_near_nothing() -> None:
    with pytest.raises(InputError, match=r"timm has no 'qqq\.zzz'; did you mean another name\?"):
        registry.build("qqq.zzz", 10, (224, 224))


def test_an_unknown_small_architecture() -> None:
    with pytest.raises(InputError) as caught:
        registry.build("small_resnet", 10, (32, 32))
    assert str(caught.value) == (
        f"architectures: 'small_resnet' is unknown; did you mean 'small_resnetv2'? "
        f"write one of {', '.join(plugins.names('patchcert.models.architectures'))}"
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("bagcert_imagenet", "bagcert_imagenet_rf17 or bagcert_imagenet_rf25 or bagcert_imagenet_rf29"),
        ("bagcert_imagenet_rf9", "bagcert_imagenet_rf17 or bagcert_imagenet_rf25 or bagcert_imagenet_rf29"),
        ("small_vit_rf9", "small_vit"),
    ],
)
def test_an_architecture_has_the_receptive_fields_that_it_comes_in(name: str, wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        registry.build(name, 10, (32, 32))
    assert str(caught.value) == f"model: {name!r} is unknown; write {wanted}"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("small_bagcert_rf13", ("small_bagcert", 13)),
        ("small_bagcert_softmax_rf9", ("small_bagcert_softmax", 9)),
        ("small_vit", ("small_vit", None)),
        ("small_rf", ("small_rf", None)),
        ("small_rf05", ("small_rf05", None)),
        ("rf5", ("rf5", None)),
        ("a_rf5_rf7", ("a_rf5", 7)),
        ("timm_rf5.a_rf7", ("timm_rf5.a_rf7", None)),
    ],
)
def test_a_name_ends_in_its_receptive_field(name: str, parts: tuple[str, int | None]) -> None:
    assert split(name) == parts


# --- normalisation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_small_architectures_take_images_from_minus_one_to_one(name: str) -> None:
    normalise = registry.normalisation(name)
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    shown = normalise(images)
    assert (shown.dtype, shown.shape) == (torch.float32, images.shape)
    torch.testing.assert_close(shown[:, 0, 0, 0], torch.tensor([-1.0, -0.6, 1.0]))


def test_timm_models_take_images_as_timm_publishes_channel_by_channel() -> None:
    normalise = registry.normalisation(TIMM)
    assert (normalise.mean, normalise.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    image = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    wanted = torch.tensor([(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(image), wanted)


def test_the_vision_transformer_of_the_papers_is_normalised_around_one_half() -> None:
    published = registry.normalisation("vit_base_patch16_224.augreg_in21k_ft_in1k")
    assert published == registry.Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_timm_model_whose_settings_are_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: None)
    with pytest.raises(InputError, match=f"timm publishes no settings for '{TIMM}'; choose a name that it lists as pretrained"):
        registry.normalisation(TIMM)


# --- weights -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_weights_come_back_as_they_were_and_equal_weights_are_equal_bytes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    saved = registry.build(name, 10, (32, 32)).to(memory_format=torch.channels_last)
    registry.save_weights(saved, tmp_path / "deep" / "a.safetensors")
    registry.save_weights(saved, tmp_path / "b.safetensors")
    assert (tmp_path / "deep" / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = registry.build(name, 10, (32, 32))
    registry.load_weights(loaded, tmp_path / "b.safetensors")
    states = saved.state_dict(), loaded.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_weights_that_cannot_be_written_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(registry.safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        registry.save_weights(torch.nn.Linear(2, 2), tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "classes"), [("small_vit", 10), ("small_resnetv2", 11)], ids=["architecture", "classes"])
def test_weights_of_another_model(name: str, classes: int, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    registry.save_weights(registry.build("small_resnetv2", 10, (32, 32)), path)
    with pytest.raises(InputError) as caught:
        registry.load_weights(registry.build(name, classes, (32, 32)), path)
    assert str(caught.value).startswith(f"{path}: no weights of this model (")
    assert str(caught.value).endswith("; train it anew")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 1000, -1])
def test_weights_that_are_damaged(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    model = registry.build("small_resnetv2", 10, (32, 32))
    registry.save_weights(model, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"w\.safetensors: no weights of this model \(.*\); train it anew"):
        registry.load_weights(model, path)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    path = tmp_path_factory.mktemp("published") / "tresnet.pth"
    return path, tresnet_checkpoint(path, 4)


def test_a_checkpoint_in_its_publisher_s_layout(published: tuple[Path, torch.nn.Module]) -> None:
    path, model = published
    loaded = registry.build_published(TRESNET, 4, (448, 448), path, labels=4)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        said, wanted = loaded.eval()(images), model.eval()(images)
    # the conversion adds 0.00001 to the weights of a hundred normalisations
    torch.testing.assert_close(said, wanted, rtol=1e-2, atol=1e-3)
    kept = loaded.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(kept[name], value, rtol=0, atol=1.1e-5 if name.endswith("bn.weight") else 0)


@pytest.fixture(scope="module", params=[TIMM, TIMM_OF_JAX])
def of_timm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, torch.nn.Module]:
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    return request.param, path, timm_weights(path, request.param)


@pytest.mark.parametrize("classes", [1000, 7])
def test_timm_s_weights_with_their_last_layer_or_a_new_one(
    of_timm: tuple[str, Path, torch.nn.Module], classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path, model = of_timm
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", None)  # nothing is downloaded
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", None)
    labels, states = registry.published_labels(name), []
    assert labels == 1000
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        states.append(registry.build_published(name, classes, (160, 160), path, labels).state_dict())
    torch.manual_seed(5)
    new = registry.build(name, classes, (160, 160)).state_dict()
    heads = {key for key in new if key.startswith("head.")}
    assert heads
    for key, value in model.state_dict().items():
        random = classes != 1000 and key in heads
        assert torch.equal(states[0][key], new[key] if random else value), key
        assert torch.equal(states[0][key], states[1][key])
        assert random or torch.equal(states[0][key], states[2][key])


def test_every_weight_has_to_be_in_the_file_under_a_new_last_layer_too(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = timm_weights(path, TIMM).state_dict()
    for changed in (
        {key: value for key, value in weights.items() if key != "stem.bn.weight"},
        weights | {"more.weight": torch.ones(2)},
        weights | {"stem.bn.weight": torch.ones(3)},
        {},
    ):
        save_file(changed, path)
        with pytest.raises(
            InputError, match=rf"model\.safetensors: no weights of {TIMM} with 1000 labels \(.+\); delete it and"
        ):
            registry.build_published(TIMM, 7, (160, 160), path, 1000)


@pytest.mark.parametrize(("name", "classes"), [(TRESNET, 5), ("resnet18.a1_in1k", 4)], ids=["classes", "architecture"])
def test_a_checkpoint_of_another_model(name: str, classes: int, published: tuple[Path, torch.nn.Module]) -> None:
    with pytest.raises(InputError) as caught:
        registry.build_published(name, classes, (64, 64), published[0], classes)
    assert str(caught.value).startswith(f"{published[0]}: no weights of {name} with {classes} labels (")
    assert str(caught.value).endswith(
        "); delete it and tresnet.pth.sha256 beside it, and correct its row in config/sources.csv or the model's name"
    )


@pytest.mark.parametrize("file", ["weights.pth", "model.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><title>Please log in</title>",
        pickle.dumps(Path("weights"), protocol=2),
        pickle.dumps([1.0], protocol=2),
        b"",
    ],
    ids=["page", "code", "list", "empty"],
)
def test_published_weights_that_are_a_web_page_or_run_code(tmp_path: Path, file: str, content: bytes) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"{re.escape(file)}: no weights of {re.escape(TIMM)} with 4 labels \(.+\); delete it"
    ):
        registry.build_published(TIMM, 4, (64, 64), path, 4)


def test_of_a_small_architecture_nobody_publishes_weights() -> None:
    with pytest.raises(InputError, match=r"^nobody publishes weights of small_vit; write pretrained: false, or choose one of"):
        registry.published_labels("small_vit")


@pytest.mark.parametrize(
    ("name", "licence"), [("vit_base_patch16_224.augreg_in21k_ft_in1k", "apache-2.0"), (TIMM, "apache-2.0")]
)
def test_where_timm_publishes_weights(name: str, licence: str) -> None:
    source = published_source(name)
    assert (source.name, source.version, source.file, source.bytes) == (name, "timm", "model.safetensors", None)
    assert (source.digest, source.licence) == ("unpublished", licence)
    assert source.origin == f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors"


def test_a_licence_that_timm_does_not_know_and_weights_that_it_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = timm.get_pretrained_cfg(TIMM)
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: replace(settings, license=None))
    assert published_source(TIMM).licence == "none stated"
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: replace(settings, hf_hub_id="apple/mobile"))
    with pytest.raises(InputError, match="are not among those that timm keeps; write the name of a row that you add for them"):
        published_source(TIMM)


def test_wherever_weights_are_loaded_no_code_of_the_file_is_run() -> None:
    loading = []
    for path in (Path(__file__).parents[2] / "workflow").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            name, settings = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert not name.startswith("pickle."), path
            assert settings.get("allow_pickle", "False") == "False", path
            if name in ("torch.load", "timm.models.load_state_dict"):
                loading.append(name)
                assert settings.get("weights_only") == "True", path
    assert sorted(set(loading)) == ["timm.models.load_state_dict", "torch.load"]


def test_the_model_cards_are_true() -> None:
    cards = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \|.*?\| ([\d,]+) \|", cards, re.MULTILINE))
    for name, parameters in told.items():
        classes = 1000 if "imagenet" in name else 10
        with torch.device("meta"):
            model = registry.build(name, classes, (32, 32))
        assert sum(parameter.numel() for parameter in model.parameters()) == int(parameters.replace(",", ""))
    families = {re.sub(r"_rf\d+$", "", name) for name in registry.names()}
    assert {re.sub(r"_rf\d+$", "", name) for name in told} >= families - {"bagcert_cifar10_softmax"}
