"""2D networks: crops, augmentation, targets, losses, and the loop on photographs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose3d.body.skeletons import LSP14
from pose3d.cli.app import app
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.people.labelled import LabelledPeople
from pose3d.lab.datasets.people.table import load_people
from pose3d.lab.training.data import load_training_data, schedule_epochs
from pose3d.lab.training.loop import Trainer
from pose3d.lab.training.optimisers import learning_rate, make_optimisers
from pose3d.lab.training.people import NO_AUGMENTATION, AugmentOptions, PeopleOptions
from pose3d.lab.training.people_crops import (
    cover,
    draw_crops,
    gather_sources,
    lower_joints,
    normalise,
    recolour,
    sample_crops,
)
from pose3d.lab.training.people_data import weigh_points
from pose3d.lab.training.people_task import (
    heatmap_loss,
    keypoint_loss,
    paint_heatmaps,
    simcc_loss,
)
from pose3d.lab.training.recipe import EpochSchedule, Recipe
from pose3d.lab.training.recipes import RECIPES, get_recipe
from pose3d.networks2d.crops import crop_matrices, cut_crops, normalise_crops
from pose3d.networks2d.estimators.tokenpose import decode_answer
from pose3d.networks2d.loading import make_keypoints
from pose3d.networks2d.tokenpose.files import load_tokenpose
from pose3d.networks2d.tokenpose.network import TokenPose
from pose3d.networks2d.tokenpose.options import TokenPoseOptions
from tests.lab.training.test_loop import state_of
from tests.support.people_files import smooth_picture, write_lsp, write_lsp_extended, write_lspet

TINY = TokenPoseOptions(
    skeleton="lsp14",
    size_wh=(64, 64),
    patch_wh=(4, 4),
    dim=32,
    depth=2,
    heads=4,
    hidden=64,
    heatmap_wh=(16, 16),
    sigma=1.0,
)


def tiny_recipe(**changes) -> Recipe:
    people = PeopleOptions(dataset="lspet", network=TINY, val_split="val")
    values = {
        "name": "tokenpose.tiny",
        "people": replace(people, **changes.pop("people", {})),
        "batch": 4,
        "steps": 10,
        "warm_up": 2,
        "validate_every": 4,
        "initial": "torch",
        "licence": "research only (a test)",
        **changes,
    }
    return Recipe(**values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lspet")
    write_lspet(folder / "lspet.npz")
    return folder


@pytest.fixture(scope="module")
def people(folder) -> LabelledPeople:
    return load_people("lspet", folder, "train-all")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- crops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn_deg", [0.0, 33.0, -140.0])
def test_torch_cuts_what_opencv_cuts(turn_deg):
    """The crop that the estimator cuts in use, of people inside the picture and across its edge."""
    images = [smooth_picture(200, 150, 0), smooth_picture(120, 180, 1), smooth_picture(90, 60, 2)]
    boxes = np.array([[50.3, 20, 120, 110.7], [-20, 100, 70, 190], [80, 40, 130, 90]])
    turns = np.full(3, np.deg2rad(turn_deg))
    matrices = crop_matrices(boxes, (48, 64), rotation_rad=turns)
    sources, moved = gather_sources(images, matrices, (48, 64))
    ours = sample_crops(sources, torch.from_numpy(moved), (48, 64))
    for image, matrix, crop in zip(images, matrices, ours, strict=True):
        theirs = cut_crops(image, matrix[None], (48, 64))[0]
        # OpenCV rounds places to 1/32 px: in these pictures that is at most a few grey levels.
        off = np.abs(crop.permute(1, 2, 0).numpy() - theirs)
        assert off.mean() < 0.5
        assert np.percentile(off, 99) < 6
        assert off[1:-1, 1:-1].max() < 40  # at the picture's edge, where black begins
    plain = normalise(sample_crops(sources[:1], torch.from_numpy(moved[:1]), (48, 64)))
    expected = normalise_crops(cut_crops(images[0], matrices[:1], (48, 64)))
    assert float((plain - torch.from_numpy(expected)).abs().mean()) < 0.02


def test_only_what_is_seen_is_taken_along():
    image = smooth_picture(640, 480)
    matrices = crop_matrices(np.array([[100.0, 100, 140, 150]]), (48, 64))
    sources, _ = gather_sources([image], matrices, (48, 64))
    assert sources.shape[2] < 75
    assert sources.shape[3] < 60


def marked(people: LabelledPeople, options: AugmentOptions, seed: int):
    """Crops of pictures that are bright at one joint alone, and where that joint should be."""
    size = (64, 64)
    crops = draw_crops(people, options, size, generator(seed))
    joint = LSP14.index["left_wrist"]
    images = []
    for points in people.keypoints_px:
        y, x = np.mgrid[:64, :64] + 0.5
        spot = np.exp(-((x - points[joint, 0]) ** 2 + (y - points[joint, 1]) ** 2) / 18)
        images.append(np.repeat((255 * spot)[..., None], 3, -1).astype(np.uint8))
    sources, moved = gather_sources(images, crops.matrices, size)
    return sample_crops(sources, torch.from_numpy(moved), size), crops


@pytest.mark.parametrize(
    "options",
    [
        NO_AUGMENTATION,
        AugmentOptions(rotation_deg=180.0, rotation="uniform", rotation_share=1.0, flip=0.0),
        AugmentOptions(flip=1.0, half_body=0.0),
        AugmentOptions(half_body=1.0, flip=0.5, shift=0.1),
    ],
    ids=["plain", "turned", "mirrored", "halved"],
)
def test_labels_move_with_the_picture(people, options):
    """The bright spot at the left wrist is where the labels say; mirrored people's is the right one."""
    crops, drawn = marked(people, options, seed=3)
    tried = 0
    at = people.keypoints_px[:, LSP14.index["left_wrist"]]
    whole = ((at > 6) & (at < 58)).all(-1)  # else the picture's edge cuts the spot
    for i in np.flatnonzero(whole):
        image, points, mirrored = crops[i], drawn.points_crop[i], drawn.mirrored[i]
        expected = points[LSP14.index["right_wrist" if mirrored else "left_wrist"]]
        scale = np.sqrt(abs(np.linalg.det(drawn.matrices[i, :, :2])))
        if not ((expected > 6 * scale) & (expected < 63 - 6 * scale)).all():
            continue
        light = image[0].double().clamp(min=30) - 30
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        centre = [float((light * axis).sum() / light.sum()) for axis in (x, y)]
        np.testing.assert_allclose(centre, expected, atol=0.6)
        tried += 1
    assert tried >= 8


def test_mirrored_crops_are_mirrored_crops(people):
    """Column by column; the last pixel becomes the first, and left joints are right ones."""
    plain, drawn = marked(people, NO_AUGMENTATION, seed=0)
    mirrored, swapped = marked(people, replace(NO_AUGMENTATION, flip=1.0), seed=0)
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=0.05, rtol=0)
    expected = drawn.points_crop[:, list(LSP14.mirror)] * [-1, 1] + [63, 0]
    np.testing.assert_allclose(swapped.points_crop, expected, atol=1e-3)


def test_turns_scales_flips_and_halves_are_as_many_as_asked_for(people):
    many = people.take(np.zeros(2000, int) + 2)
    options = AugmentOptions(rotation_deg=40.0, scale=0.2, half_body=0.0)
    linear = draw_crops(many, options, (64, 64), generator()).matrices[:, :, :2]
    mirrored = np.linalg.det(linear) < 0
    assert 0.45 < mirrored.mean() < 0.55
    turned = np.abs(linear[:, 0, 1]) > 1e-9
    assert 0.56 < turned.mean() < 0.64
    scale = 1 / np.sqrt(np.abs(np.linalg.det(linear)))
    assert scale.min() == pytest.approx(0.8, rel=1e-4)
    assert scale.max() == pytest.approx(1.2, rel=1e-4)
    angle = np.rad2deg(np.arctan2(np.abs(linear[:, 0, 1]), np.abs(linear[:, 0, 0])))
    assert 70 < angle.max() <= 80.001
    every_way = AugmentOptions(rotation_deg=180, rotation="uniform", rotation_share=1, flip=0)
    linear = draw_crops(many, every_way, (64, 64), generator()).matrices[:, :, :2]
    upside_down = (linear[:, 0, 0] < 0).mean()
    assert 0.46 < upside_down < 0.54


def test_half_bodies_are_upper_or_lower(people):
    many = people.take(np.zeros(400, int) + 2)
    options = replace(NO_AUGMENTATION, half_body=1.0)
    crops = draw_crops(many, options, (64, 64), generator())
    inside = ((crops.points_crop > 0) & (crops.points_crop < 63)).all(-1)
    lower = lower_joints(LSP14)
    assert [n for n, low in zip(LSP14.joints, lower, strict=True) if low] == [
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    ]  # fmt: skip
    legs = inside[:, lower].all(1) & ~inside[:, LSP14.index["head_top"]]
    arms = inside[:, ~lower].all(1) & ~inside[:, LSP14.index["left_ankle"]]
    assert (legs ^ arms).all()
    assert 0.4 < legs.mean() < 0.6
    # HRNet: the half's box, 1.5 times as large, filled up to the crop's proportions, is all of the crop.
    for half, points in zip(np.where(legs[:, None], lower, ~lower), crops.points_crop, strict=True):
        extent = np.ptp(points[half], axis=0).max()
        assert extent == pytest.approx(64 / 1.5, rel=1e-3)
    few = replace(options, half_body_joints=14)
    plain = draw_crops(many, NO_AUGMENTATION, (64, 64), generator())
    same = draw_crops(many, few, (64, 64), generator())
    np.testing.assert_array_equal(same.matrices, plain.matrices)


def test_occluders_and_colours():
    crops = torch.full((200, 3, 40, 60), 100.0)
    options = AugmentOptions(erase=0.5, erase_area=(0.05, 0.2))
    covered = (cover(crops, options, generator()) != 100).any(1)
    some = covered.flatten(1).any(1)
    assert 0.4 < some.float().mean() < 0.6
    share = covered[some].float().mean((1, 2))
    assert share.max() < 0.22
    assert share.median() > 0.03
    assert torch.equal(cover(crops, AugmentOptions(), generator()), crops)
    noise = 255 * torch.rand(50, 3, 8, 8, generator=generator())
    assert torch.equal(recolour(noise, 0.0, generator()), noise)
    changed = recolour(noise, 0.3, generator())
    assert changed.min() >= 0
    assert changed.max() <= 255
    ratio = changed.mean((1, 2, 3)) / noise.mean((1, 2, 3))
    assert 0.65 < float(ratio.min()) < 0.85
    assert 1.1 < float(ratio.max()) < 1.35


# -- targets and losses ---------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["heatmap", "simcc"])
def test_targets_decode_to_the_labels(head):
    """What a perfect network would answer is decoded to the labels, between cells too."""
    options = replace(TINY, head=head, sigma=1.5 if head == "heatmap" else 4.0)
    points = 20 + 24 * torch.rand(6, 14, 2, generator=generator())
    if head == "heatmap":
        answer = paint_heatmaps(points, options)
    else:
        place = torch.arange(128.0)
        x, y = (-0.5 * ((place - 2 * points[..., a, None]) / 4.0) ** 2 for a in (0, 1))
        answer = (x, y)
        weight = torch.ones(6, 14)
        assert float(simcc_loss(answer, points, weight, options)) == pytest.approx(0, abs=1e-5)
    found, score = decode_answer(answer, options)
    limit = 0.15 if head == "heatmap" else 0.26  # SimCC answers in half pixels
    np.testing.assert_allclose(found, points.numpy(), atol=limit)
    assert score.min() > 0.8


def test_losses_by_hand():
    options = replace(TINY, heatmap_wh=(16, 16))
    points = torch.tensor([[[20.0, 32.0]] * 14])
    weight = torch.zeros(1, 14)
    weight[0, 3] = 1.0
    target = torch.zeros(1, 14, 16, 16)
    for r in range(16):
        for c in range(16):
            target[0, 3, r, c] = np.exp(-((c - 5) ** 2 + (r - 8) ** 2) / 2)
    answer = torch.full((1, 14, 16, 16), 0.25)
    expected = 0.5 * float((0.25 - target[0, 3]).square().mean()) / 14
    assert float(heatmap_loss(answer, points, weight, options)) == pytest.approx(expected, rel=1e-5)
    simcc = replace(TINY, head="simcc", sigma=3.0)
    logits = torch.zeros(1, 14, 128), torch.zeros(1, 14, 128)
    total = 0.0
    for centre in (40, 64):
        q = np.exp(-((np.arange(128) - centre) ** 2) / 18)
        q /= q.sum()
        total += float((q * np.log(np.maximum(q, 1e-300) * 128)).sum())  # KL to the uniform
    assert float(simcc_loss(logits, points, weight, simcc)) == pytest.approx(total, rel=1e-4)


def test_joints_without_weight_teach_nothing():
    target = torch.rand(2, 14, 3, generator=generator()) * 60
    target[..., 2] = 1.0
    target[:, 5] = 0.0
    for head in ("heatmap", "simcc"):
        options = replace(TINY, head=head)
        if head == "heatmap":
            answer = torch.randn(2, 14, 16, 16, generator=generator()).requires_grad_()
            loss = keypoint_loss(answer, target, options)
        else:
            answer = torch.randn(2, 14, 128, generator=generator()).requires_grad_()
            loss = keypoint_loss((answer, answer), target, options)
        loss.backward()
        per_joint = answer.grad.abs().flatten(2).sum((0, 2))
        assert per_joint[5] == 0
        assert (per_joint[[0, 4, 6, 13]] > 0).all()


def test_weights_of_points():
    points = torch.tensor([[[0.0, 0.0], [63.4, 10.0], [63.6, 10.0], [-1.0, 5.0], [np.nan] * 2]])
    weighed = weigh_points(points, (64, 64))
    assert weighed[0, :, 2].tolist() == [1, 1, 0, 0, 0]
    assert torch.isfinite(weighed).all()


# -- the loop -------------------------------------------------------------------------------------


def test_every_person_comes_once_an_epoch(folder):
    data = load_training_data(tiny_recipe(), folder, "cpu")
    assert len(data.train) == 23  # of 24 one is suspicious
    assert data.steps_per_epoch == 5
    rows = np.concatenate([data.rows_of(step) for step in range(5)])
    assert len(set(rows)) == 20
    assert not np.array_equal(data.rows_of(0), data.rows_of(5))
    other = load_training_data(tiny_recipe(seed=1), folder, "cpu")
    assert not np.array_equal(data.rows_of(0), other.rows_of(0))
    first, again = (data.draw(tiny_recipe(), 3, generator(s))[0] for s in (0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, data.draw(tiny_recipe(), 4, generator())[0])
    assert not torch.equal(first, other.draw(tiny_recipe(), 3, generator())[0])


def test_crops_depend_on_the_seed(folder):
    """The same people in the same step: other seeds turn and scale them otherwise."""
    drawn = []
    for seed in (0, 1):
        data = load_training_data(tiny_recipe(seed=seed), folder, "cpu")
        data.rows_of = lambda step: np.arange(4)
        drawn.append(data.draw(tiny_recipe(), 3, generator())[0])
    assert not torch.equal(*drawn)


def test_interrupted_training_goes_on_to_the_bit(folder, tmp_path):
    recipe = tiny_recipe(people={"augment": AugmentOptions(erase=0.5, colour=0.2)})
    whole = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path / "whole")
    whole.train(6)
    expected = state_of(whole)
    data = load_training_data(recipe, folder, "cpu")
    Trainer(recipe, data, tmp_path / "parts").train(3)
    torch.manual_seed(99)
    second = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path / "parts")
    second.resume()
    assert second.step == 3
    second.train(6)
    resumed = state_of(second)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(resumed[name], value), name


def test_people_are_learned_and_the_file_works(folder, tmp_path):
    """Drawn people: PCK on others rises far above that of the start, and the estimator reaches it too."""
    network = replace(TINY, head="simcc", sigma=4.0)
    recipe = tiny_recipe(
        people={"network": network, "augment": replace(NO_AUGMENTATION, scale=0.1, shift=0.05)},
        batch=8,
        steps=90,
        warm_up=10,
        learning_rate=3e-3,
        weight_decay=0.0,
        ema=0.9,
        validate_every=45,
    )
    rows = []
    trainer = Trainer(recipe, load_training_data(recipe, folder, "cpu"), tmp_path)
    before = 100 - trainer.validate()
    missed = trainer.train(on_log=rows.append)
    assert before < 30
    assert 100 - missed > before + 25
    assert rows[-1]["simcc"] < rows[0]["simcc"]
    network, metadata = load_tokenpose(tmp_path / "best.safetensors")
    assert network.options.licence == metadata_licence(metadata) == "research only (a test)"
    assert float(metadata["val_missed"]) == pytest.approx(missed, abs=0.01)
    from pose3d.lab.evaluation.people import evaluate_people

    estimator = make_keypoints(f"tokenpose:{tmp_path / 'best.safetensors'}")
    assert "research only" in estimator.info.licence
    results = evaluate_people(load_people("lspet", folder, "val"), estimator)
    assert results["metrics"]["pck"] == pytest.approx(100 - missed, abs=2)


def test_eight_people_are_memorised_by_heatmaps(folder):
    """The published head and loss leave the mean pose; with PyTorch's own biases they do not."""
    options = replace(TINY, heatmap_hidden=128)
    people = load_people("lspet", folder, "train").take(np.arange(8))
    crops = draw_crops(people, NO_AUGMENTATION, options.size_wh, generator())
    sources, matrices = gather_sources(
        [people.images.read(i) for i in people.image.tolist()], crops.matrices, options.size_wh
    )
    images = normalise(sample_crops(sources, torch.from_numpy(matrices), options.size_wh))
    target = weigh_points(torch.from_numpy(crops.points_crop), options.size_wh)
    torch.manual_seed(0)
    network = TokenPose(options)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(150):
        answer = network(images)
        optimiser.zero_grad()
        keypoint_loss(answer, target, options).backward()
        optimiser.step()
    found, _ = decode_answer(answer.detach(), options)
    near = np.linalg.norm(found - crops.points_crop, axis=-1) < 4
    inside = target[..., 2].numpy() > 0
    assert near[inside].mean() > 0.9


def metadata_licence(metadata: dict[str, str]) -> str:
    return json.loads(metadata["options"])["licence"]


def test_next_step_read_ahead_is_the_same(folder):
    """What a GPU run reads ahead, in other threads, are the crops that the step has anyway."""
    plain = load_training_data(tiny_recipe(), folder, "cpu")
    ahead = load_training_data(tiny_recipe(), folder, "cpu")

    class Cuda(str):
        """Says that it is a GPU; torch takes it for the CPU that it is."""

        def startswith(self, *_: object) -> bool:
            return True

    ahead.device = Cuda("cpu")
    for step in (0, 1, 2, 5, 6):  # a jump, as after resuming, and a new epoch
        for a, b in zip(
            plain.draw(tiny_recipe(), step, generator()),
            ahead.draw(tiny_recipe(), step, generator()),
            strict=True,
        ):
            assert torch.equal(a, b)


def test_bfloat16_trains(folder, tmp_path):
    data = load_training_data(tiny_recipe(), folder, "cpu")
    ours = Trainer(tiny_recipe(), data, tmp_path, bf16=True).train_step()
    exact = Trainer(tiny_recipe(), data, tmp_path).train_step()
    assert float(ours["heatmap"]) == pytest.approx(float(exact["heatmap"]), rel=0.05)


def test_wrong_data_is_refused(folder):
    with pytest.raises(DataError):
        load_training_data(tiny_recipe(batch=64), folder, "cpu")
    coco = replace(TINY, skeleton="coco17")
    with pytest.raises(UsageError, match="lsp14"):
        load_training_data(tiny_recipe(people={"network": coco}), folder, "cpu")


def test_every_so_many_pictures_are_held_out(folder):
    recipe = tiny_recipe(people={"val_split": None, "hold_out": 6})
    data = load_training_data(recipe, folder, "cpu")
    assert not set(data.train.ids) & set(data.val.ids)
    assert data.val.ids.tolist() == [0, 6, 12, 18]
    none = load_training_data(tiny_recipe(people={"val_split": None, "hold_out": 0}), folder, "cpu")
    assert np.isnan(none.validate(recipe, torch.nn.Identity(), "cpu"))


# -- recipes and the command ----------------------------------------------------------------------


def test_published_schedule():
    recipe = get_recipe("tokenpose-s.coco")
    recipe = replace(recipe, epoch_steps=10, steps=3000)
    rates = [learning_rate(recipe, 10 * epoch) for epoch in (0, 199, 200, 259, 260, 299)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    network = torch.nn.Linear(2, 2)
    (optimiser,) = make_optimisers(network, recipe, fused=False)
    assert type(optimiser) is torch.optim.Adam
    assert not optimiser.defaults["amsgrad"]


def test_epochs_become_steps(folder):
    recipe = tiny_recipe(steps=0, schedule=EpochSchedule(epochs=3, decay=1.0))
    scheduled = schedule_epochs(recipe, load_training_data(recipe, folder, "cpu"))
    assert (scheduled.steps, scheduled.epoch_steps, scheduled.validate_every) == (15, 5, 5)


@pytest.mark.parametrize("dataset", ["coco", "mpii", "lspet"])
def test_variants_differ_in_their_sparsity_alone(dataset):
    ends = ["", "-joint", "-pruned", "-reranked", "-sparse", "-random", "-removed"]
    recipes = {end: get_recipe(f"tokenpose-s{end}.{dataset}") for end in ends}
    networks = {end: r.people.network for end, r in recipes.items()}
    assert len(set(networks.values())) == 7
    assert not networks["-reranked"].prune.progressive
    for end, recipe in recipes.items():
        assert replace(networks[end], prune=None, joint=None, remove=None) == networks[""]
        people = replace(recipe.people, network=networks[""])
        assert replace(recipe, name=recipes[""].name, people=people) == recipes[""]
    if dataset != "lspet":
        both = get_recipe(f"tokenpose-b-sparse.{dataset}").people.network
        assert both.backbone == "hrnet-w32"
        assert both.prune
        assert both.joint


@pytest.mark.parametrize(
    ("dataset", "write"), [("lsp", write_lsp), ("lsp-extended", write_lsp_extended)]
)
def test_leeds_is_trained_as_published(dataset, write, tmp_path):
    write(tmp_path / "set", people=6)
    recipe = get_recipe(f"tokenpose-s-sparse.{dataset}")
    network = replace(TINY, head="simcc", sigma=4.0)
    people = replace(recipe.people, network=network, hold_out=3, guide_after=0)
    recipe = replace(recipe, people=people, batch=2, steps=2, validate_every=1)
    trainer = Trainer(recipe, load_training_data(recipe, tmp_path / "set", "cpu"), tmp_path / "out")
    trainer.train()
    _, metadata = load_tokenpose(tmp_path / "out" / "best.safetensors")
    assert "research only" in metadata_licence(metadata)


def test_every_recipe_of_people_is_complete():
    from pose3d.body.skeletons import SKELETONS
    from pose3d.lab.datasets.people.table import DATASETS

    recipes = [r for r in RECIPES.values() if r.people is not None]
    assert {r.people.dataset for r in recipes} == set(DATASETS)
    for recipe in recipes:
        assert recipe.people.dataset in DATASETS
        assert recipe.files
        assert recipe.people.network.skeleton in SKELETONS
        assert "Apache" not in recipe.licence, "photographs decide"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tokenpose-s.lspet"], "No data folder was given"),
        (["tokenpose-s.lspet", "--data", "."], "lspet.npz is missing"),
        (["tokenpose-s.lspt"], "Did you mean 'tokenpose-s.lspet'"),
        (["tokenpose-s.lspet", "--data", ".", "--set", "hourglass.keep=9"], "hourglass.keep"),
    ],
)
def test_command_refuses(arguments, said, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code != 0
    assert said in result.output + result.stderr


def test_command_lists_and_trains(folder, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["train"]).output
    assert "tokenpose-s-sparse.lspet" in listed
    arguments = "tokenpose-s.lspet --steps 1 --set batch=2 --threads 1 --device cpu"
    arguments += " --set people.network.size_wh=48,48 --set people.network.heatmap_wh=12,12"
    result = CliRunner().invoke(app, ["train", *arguments.split(), "--data", str(folder)])
    assert result.exit_code == 0, result.output
    assert "research only" in result.output
    assert "PCK@0.2" in result.output
    network, _ = load_tokenpose(tmp_path / "runs/tokenpose-s.lspet/best.safetensors")
    assert network.options.size_wh == (48, 48)
