"""people/: every data set in its published format becomes the same record."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from pose3d.body.skeletons import COCO17, LSP14, MPII16
from pose3d.errors import DataError, UsageError
from pose3d.lab.datasets.people.labelled import label_boxes
from pose3d.lab.datasets.people.table import DATASETS, load_people
from pose3d.networks2d.crops import crop_matrices
from tests.support.people_files import (
    write_coco,
    write_lsp,
    write_lsp_extended,
    write_lspet,
    write_mpii_json,
    write_mpii_release,
    write_picture,
)


def test_coco(tmp_path):
    content = write_coco(tmp_path)
    people = load_people("coco", tmp_path, "val")
    assert people.skeleton is COCO17
    assert people.ids.tolist() == [a["id"] for a in content["annotations"]]
    numbers = [people.images.names[i] for i in people.image]
    assert numbers == [f"000000000{n}.jpg" for n in (139, 285, 285, 139)]
    # COCO's numbers are those of pixels, whose centres are half a pixel further for us.
    np.testing.assert_array_equal(people.keypoints_px[0, 3], [13.5, 11.5])
    assert people.visibility[0, :4].tolist() == [2, 1, 0, 2]
    assert np.isnan(people.keypoints_px[0, 2]).all()
    np.testing.assert_array_equal(people.boxes_xyxy_px[1], [1.5, 2.5, 31.5, 43.5])
    np.testing.assert_allclose(people.area_px2, [320, 492, 48, 1152])
    assert people.ignored.tolist() == [False, False, True, True]
    assert people.crowd.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(
        people.images.read(0), write_picture(tmp_path / "again/000000000139.jpg")
    )


def test_mpii_release(tmp_path):
    write_mpii_release(tmp_path)
    people = load_people("mpii", tmp_path, "release")
    assert people.skeleton is MPII16
    assert len(people) == 2
    by_name = {people.images.names[i]: row for row, i in enumerate(people.image)}
    row, other = by_name["015601864.jpg"], by_name["005808361.jpg"]
    # Matlab counts from 1: its pixel 61 is the 61st, whose centre lies 60.5 from the edge.
    np.testing.assert_array_equal(people.keypoints_px[row, 6], [60.5, 69.5])
    np.testing.assert_array_equal(people.keypoints_px[row, 8], [59, 30.75])
    assert people.visibility[row].tolist() == [0] * 6 + [1, 2, 2, 2] + [0] * 6
    assert people.visibility[other].tolist() == [2] + [0] * 15
    # The head is 0.6 of the diagonal of its box, 30 x 40.
    np.testing.assert_allclose(people.head_px, 30)
    assert people.images.read(int(people.image[row])).shape == (48, 64, 3)


def test_mpii_json_and_the_crop_of_hrnet(tmp_path):
    write_mpii_json(tmp_path)
    people = load_people("mpii", tmp_path, "val")
    assert len(people) == 3
    np.testing.assert_array_equal(people.keypoints_px[1, 4], [34.5, 25.5])
    assert people.visibility[0].tolist() == [0] + [2] * 15
    np.testing.assert_allclose(people.head_px, 30)
    # HRNet: centre moved down by 15 scale, scale x 1.25, both counted from 0; the crop is 200 scale
    # pixels wide and its middle is the centre.
    centre = np.array([38.0, 30.0 + 15 * 0.25]) - 1
    side = 200 * 0.25 * 1.25
    matrix = crop_matrices(people.boxes_xyxy_px[:1], (256, 256))[0]
    np.testing.assert_allclose(matrix[:, :2] @ centre + matrix[:, 2], [128, 128], atol=1e-4)
    np.testing.assert_allclose(matrix[0, 0], 256 / side, rtol=1e-6)


def test_lsp(tmp_path):
    joints = write_lsp(tmp_path, people=4)
    test = load_people("lsp", tmp_path, "test")
    assert test.skeleton is LSP14
    assert test.ids.tolist() == [3, 4]
    assert [test.images.names[i] for i in test.image] == ["im0003.jpg", "im0004.jpg"]
    np.testing.assert_allclose(test.keypoints_px[0], joints[:2, :, 2].T - 0.5, rtol=1e-6)
    assert test.visibility[0].tolist() == [2, 2, 1] + [2] * 11
    train = load_people("lsp", tmp_path, "train")
    assert not set(train.ids) & set(test.ids)
    assert len(load_people("lsp", tmp_path, "all")) == 4


def test_lsp_extended(tmp_path):
    joints = write_lsp_extended(tmp_path)
    people = load_people("lsp-extended", tmp_path, "train")
    assert people.visibility[0].tolist() == [2] * 12 + [0, 2]
    assert np.isnan(people.keypoints_px[:, 12]).all()
    np.testing.assert_allclose(people.keypoints_px[1, 5], joints[5, :2, 1] - 0.5, rtol=1e-6)
    assert people.images.names[2] == "im00003.jpg"
    assert people.images.read(2).shape == (110, 70, 3)
    assert "research only" in people.licence
    points = people.keypoints_px[0, [i for i in range(14) if i != 12]]
    low, high = points.min(0), points.max(0)
    middle = (people.boxes_xyxy_px[0, :2] + people.boxes_xyxy_px[0, 2:]) / 2
    np.testing.assert_allclose(middle, (low + high) / 2, rtol=1e-5)
    with pytest.raises(DataError):
        load_people("lsp", tmp_path, "test")


def test_lspet(tmp_path):
    write_lspet(tmp_path / "lspet.npz", train=6, val=2, test=3)
    train = load_people("lspet", tmp_path, "train")
    everybody = load_people("lspet", tmp_path / "lspet.npz", "train-all")
    assert train.ids.tolist() == [0, 2, 3, 4, 5]  # 1 is suspicious
    assert everybody.ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isnan(train.keypoints_px[0, 12]).all()
    assert train.visibility[0].tolist() == [2] * 12 + [0, 2]
    test = load_people("lspet", tmp_path, "test")
    assert test.ids.tolist() == [8, 9, 10]
    # The enlarged box is the whole picture.
    corner = crop_matrices(test.boxes_xyxy_px[:1], (64, 64))[0]
    np.testing.assert_allclose(corner, [[1, 0, 0], [0, 1, 0]], atol=1e-5)
    assert test.images.read(int(test.image[0])).shape == (64, 64, 3)
    assert "research only" in train.licence


def test_real_lspet(shared):
    people = load_people("lspet", shared / "lspet", "test")
    assert len(people) == 1003
    assert (people.visibility > 0).any(1).all()
    image = people.images.read(int(people.image[0]))
    assert image.shape[0] == image.shape[1]
    train, val = (load_people("lspet", shared / "lspet", s) for s in ("train-all", "val"))
    assert (len(train), len(val)) == (7999, 998)
    assert not set(train.ids) & set(val.ids) | set(val.ids) & set(people.ids)


FILES = {
    "coco": "annotations/person_keypoints_train2017.json",
    "mpii": "annot/train.json",
    "lsp": "joints.mat",
    "lsp-extended": "joints.mat",
    "lspet": "lspet.npz",
}


@pytest.mark.parametrize("name", DATASETS)
def test_missing_and_damaged_files_are_named(name, tmp_path):
    path = tmp_path / FILES[name]
    with pytest.raises(DataError, match=f"{re.escape(str(path))} is missing"):
        load_people(name, tmp_path, "train")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no such thing")
    with pytest.raises(DataError, match=re.escape(str(path))):
        load_people(name, tmp_path, "train")


def test_people_without_keypoints_in_coco_are_named(tmp_path):
    path = tmp_path / FILES["coco"]
    path.parent.mkdir()
    path.write_text(json.dumps({"images": [], "annotations": [{"id": 1}]}))
    with pytest.raises(DataError, match="keypoints"):
        load_people("coco", tmp_path, "train")


@pytest.mark.parametrize("name", [n for n in DATASETS if n != "coco"])
def test_unknown_splits_are_named(name, tmp_path):
    with pytest.raises(UsageError):
        load_people(name, tmp_path, "trian")


def test_unknown_data_set(tmp_path):
    with pytest.raises(UsageError, match="'coco'"):
        load_people("cocoo", tmp_path, "train")


def test_missing_picture_is_named(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "val2017/000000000139.jpg").unlink()
    people = load_people("coco", tmp_path, "val")
    with pytest.raises(DataError, match=r"000000000139\.jpg"):
        people.images.read(0)


def test_box_of_nobody_is_nan():
    assert np.isnan(label_boxes(np.full((1, 14, 2), np.nan))).all()
