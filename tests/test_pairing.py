"""Pairing of generated and true images: by naming convention, and by a list."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from posegen_metrics.naming import CONVENTIONS

from posegen import catalogue
from posegen.errors import ConfigError, DataError
from posegen.evaluation.pairing import NamingConvention, Pairing, find_images, pair_images
from posegen.hookspecs import hookimpl
from posegen.testing import posegen_plugin  # noqa: F401

TREE = [
    "MEN/Denim/id_00000080/01_1_front.jpg",
    "MEN/Denim/id_00000080/01_2_side.jpg",
    "WOMEN/Tees_Tanks/id_00003504/08_1_front.jpg",
    "WOMEN/Tees_Tanks/id_00003504/08_3_back.jpg",
]
WORDS = [
    "fashionMENDenimid0000008001_1front",
    "fashionMENDenimid0000008001_2side",
    "fashionWOMENTees_Tanksid0000350408_1front",
    "fashionWOMENTees_Tanksid0000350408_3back",
]
"""The same, as lists write them."""


@pytest.fixture
def made(tmp_path) -> Path:
    return tmp_path / "generated"


@pytest.fixture
def true(tmp_path) -> Path:
    return tmp_path / "target"


def touch(folder: Path, *names: str) -> None:
    """Empty files: nothing here looks into an image."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def named(pairing: Pairing, made: Path, true: Path) -> dict[str, tuple[str, str | None]]:
    """Target and source of each generated image, all as paths below their folders."""
    return {
        pair.generated.relative_to(made).as_posix(): (
            pair.target.relative_to(true).as_posix(),
            pair.source and pair.source.relative_to(true).as_posix(),
        )
        for pair in pairing.pairs
    }


def listed(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


# Files ----------------------------------------------------------------------------------------------------


def test_images_come_in_natural_order_of_their_whole_paths(tmp_path):
    touch(tmp_path, "b/1.png", "a10/2.jpg", "a2/10.PNG", "a2/9.jpeg", "a2/a.webp", "a2/b.bmp")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a2/9.jpeg", "a2/10.PNG", "a2/a.webp", "a2/b.bmp", "a10/2.jpg", "b/1.png"]


def test_hidden_temporary_and_other_files_are_left_out(tmp_path):
    touch(tmp_path, "a.png", ".b.png", ".cache/c.png", "~d.png", "e.part.png", "f.tmp.jpg", "g.txt", "h.png~", "i.npz")
    assert [path.name for path in find_images(tmp_path)] == ["a.png"]


def test_links_that_lead_out_of_the_folder_are_left_out(tmp_path):
    touch(tmp_path, "secret/a.png", "images/b.png")
    os.symlink(tmp_path / "secret/a.png", tmp_path / "images/out.png")
    os.symlink(tmp_path / "secret", tmp_path / "images/outer")
    os.symlink(tmp_path / "images/b.png", tmp_path / "images/inside.png")
    assert [path.name for path in find_images(tmp_path / "images")] == ["b.png", "inside.png"]


def test_a_folder_that_is_a_link_itself_is_read(tmp_path):
    touch(tmp_path, "images/a.png")
    os.symlink(tmp_path / "images", tmp_path / "link")
    assert find_images(tmp_path / "link") == [tmp_path / "link/a.png"]


def test_a_folder_without_images_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "nowhere")
    touch(tmp_path, "images/readme.txt", "secret.png")
    with pytest.raises(DataError, match=r"holds no images\n.*\.png"):
        find_images(tmp_path / "images")
    os.symlink(tmp_path / "secret.png", tmp_path / "images/out.png")
    with pytest.raises(DataError, match=r"out\.png: a link that leads out of"):
        find_images(tmp_path / "images")


# Conventions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "name"),
    [
        ("gfla", "a_1_2_b_2_vis.jpg"),
        ("patn", "a_1.jpg___b_2.jpg_vis.jpg"),
        ("deformable-gan", "a_1.jpg_b_2.jpg.png"),
        ("source-2-target", "a_1_2_b_2.png"),
        ("source-to-target", "a_1_to_b_2.png"),
    ],
)
def test_a_convention_is_found_by_the_names(made, true, convention, name):
    touch(made, name)
    touch(true, "a_1.jpg", "b_2.jpg")
    pairing = pair_images(made, true, conventions=CONVENTIONS)
    assert pairing.convention == convention
    assert named(pairing, made, true) == {name: ("b_2.jpg", "a_1.jpg")}
    assert not pairing.unmatched


def test_results_named_as_their_targets_have_no_source(made, true):
    touch(made, "clip/10.png", "clip/9.png")
    touch(true, "clip/9.jpg", "clip/10.jpg", "other/9.jpg")
    pairing = pair_images(made, true, conventions=CONVENTIONS)
    assert pairing.convention == "same-name"
    assert named(pairing, made, true) == {"clip/9.png": ("clip/9.jpg", None), "clip/10.png": ("clip/10.jpg", None)}
    assert [pair.name for pair in pairing.pairs] == ["clip/9", "clip/10"]


def test_a_separator_inside_a_name_is_not_taken_for_the_one_between_names(made, true):
    touch(true, "car_2_10.png", "car_2_20.png")
    touch(made, "car_2_10_2_car_2_20_vis.jpg")  # "_2_" stands there three times: only the middle one parts two images
    assert named(pair_images(made, true, conventions=CONVENTIONS), made, true) == {
        "car_2_10_2_car_2_20_vis.jpg": ("car_2_20.png", "car_2_10.png")
    }


def test_the_reading_whose_source_exists_is_used(made, true):
    touch(true, "b.png", "a_2_b.png", "c.png")
    touch(made, "c_2_a_2_b_vis.png")  # c → a_2_b, or c_2_a → b, of which no image c_2_a exists
    (pair,) = pair_images(made, true, conventions=CONVENTIONS).pairs
    assert (pair.target.name, pair.source.name) == ("a_2_b.png", "c.png")


def test_sources_that_are_in_no_folder_are_told_once_each(tmp_path, made, true):
    touch(made, "1_to_2.png", "1_to_3.png", "3_to_2.png")
    touch(true, "2.png", "3.png")
    by_name = pair_images(made, true, conventions=CONVENTIONS)
    assert (by_name.convention, by_name.lost_sources) == ("source-to-target", ["1"])
    rows = listed(tmp_path, "from,to", "1,2", "1,3", "3,2")
    assert pair_images(made, true, rows, CONVENTIONS).lost_sources == ["1"]
    touch(tmp_path / "sources", "1.png", "3.png")
    assert pair_images(made, true, conventions=CONVENTIONS, source=tmp_path / "sources").lost_sources == []
    same = pair_images(true, true, conventions=CONVENTIONS)
    assert (same.convention, same.lost_sources) == ("same-name", [])


def test_a_source_missing_in_the_true_images_is_none(made, true):
    touch(made, "a_2_b_vis.png")
    touch(true, "b.png")
    assert pair_images(made, true, conventions=CONVENTIONS).pairs[0].source is None


def test_sources_may_lie_in_a_folder_of_their_own(tmp_path, made, true):
    touch(made, "a_2_b_vis.png", "c_2_b_vis.png")
    touch(true, "b.png")
    touch(tmp_path / "source", "a.jpg")
    pairing = pair_images(made, true, None, CONVENTIONS, tmp_path / "source")
    assert [pair.source for pair in pairing.pairs] == [tmp_path / "source" / "a.jpg", None]
    touch(made / "same", "b.png")
    touch(tmp_path / "source", "b.png")
    (pair,) = pair_images(made / "same", true, None, CONVENTIONS, tmp_path / "source").pairs
    assert pair.source == tmp_path / "source" / "b.png"


def test_images_without_a_partner_are_listed_with_the_reason(made, true):
    touch(made, "a_2_b_vis.png", "a_2_c_vis.png", "sheet.png")
    touch(true, "a.png", "b.png")
    pairing = pair_images(made, true, conventions=CONVENTIONS)
    assert [pair.name for pair in pairing.pairs] == ["a_2_b_vis"]
    assert [line.split(":")[0] for line in pairing.unmatched] == ["a_2_c_vis.png", "sheet.png"]
    assert all("no true image" in line and "{source}_2_{target}_vis" in line for line in pairing.unmatched)


def test_names_of_several_conventions_are_an_error_with_counts(made, true):
    touch(made, "a_2_b_vis.png", "b_2_a_vis.png", "a.jpg___b.jpg_vis.jpg")
    touch(true, "a.jpg", "b.jpg")
    with pytest.raises(
        DataError, match=r"3 generated images follow several naming conventions: gfla 2, patn 1\n.*--pairs"
    ):
        pair_images(made, true, conventions=CONVENTIONS)


def test_two_conventions_that_fit_equally_well_are_an_error(made, true):
    backwards = NamingConvention("backwards", "{target}", "b.png", "here")
    forwards = NamingConvention("forwards", "next_{target}", "next_b.png", "here")
    touch(made, "next_b.png")
    touch(true, "b.png", "next_b.png")
    with pytest.raises(DataError, match="fit several naming conventions equally well: backwards 1, forwards 1"):
        pair_images(made, true, conventions=[backwards, forwards])


def test_two_conventions_with_the_same_result_do_not_conflict(made, true):
    touch(made, "b.png")
    touch(true, "b.png")
    twice = [NamingConvention(name, "{target}", "b.png", "here") for name in ("first", "second")]
    assert pair_images(made, true, conventions=twice).convention == "first"


def test_names_that_fit_nothing_are_an_error(made, true):
    touch(made, "x.png", "y.png")
    touch(true, "a.png")
    with pytest.raises(
        DataError, match=r"none of the 2 generated images has a partner(?s:.*)Check the folders(?s:.*)--pairs"
    ):
        pair_images(made, true, conventions=CONVENTIONS)
    with pytest.raises(DataError, match="none is known"):
        pair_images(made, true, conventions=[])


def test_two_endings_of_one_generated_image_are_an_error(made, true):
    touch(made, "a.png", "a.jpg", "b.png", "b.webp")
    touch(true, "a.png", "b.png")
    with pytest.raises(DataError) as error:
        pair_images(made, true, conventions=CONVENTIONS)
    assert len(error.value.problems) == 2
    assert "a.jpg" in error.value.problems[0]
    assert "a.png" in error.value.problems[0]


@pytest.mark.parametrize(
    "template", ["{source}", "{source}{target}", "{target}_{source}", "x", "{target}{target}", "{a}"]
)
def test_an_invalid_template_is_refused(template):
    with pytest.raises(ConfigError, match=r"must contain \{target\} once"):
        NamingConvention("mine", template, "a_b.png", "here")


def test_a_convention_whose_example_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"example 'a_to_b\.png' does not fit"):
        NamingConvention("mine", "{source}_2_{target}", "a_to_b.png", "here")


def test_every_shipped_convention_has_a_citation():
    assert len({convention.name for convention in CONVENTIONS}) == len(CONVENTIONS)
    assert all(convention.citation for convention in CONVENTIONS)


def test_plugins_bring_conventions(made, true, posegen_plugin):  # noqa: F811
    class Mine:
        @hookimpl
        def posegen_catalogue(self):
            return [NamingConvention("mine", "{source}-as-{target}", "a-as-b.png", "here")]

    class Other:
        @hookimpl
        def posegen_catalogue(self):
            return [NamingConvention("mine", "{target}", "b.png", "there")]

    touch(made, "a-as-b.png")
    touch(true, "b.png")
    posegen_plugin(Mine(), "my plugin")
    assert {found.name for found in catalogue.all(NamingConvention)} == {*(c.name for c in CONVENTIONS), "mine"}
    assert pair_images(made, true).convention == "mine"
    with pytest.raises(ConfigError, match="two plugins bring a naming convention called 'mine'"):
        posegen_plugin(Other(), "another")


# Names of true images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["fashion", "fasion", "deepfashion"])
def test_a_path_written_as_one_word_finds_the_image_in_its_tree(made, true, prefix):
    front, side, woman, back = (word.replace("fashion", prefix) for word in WORDS)
    touch(true, *TREE)
    touch(made, f"{front}_2_{side}_vis.png", f"{back}_2_{woman}_vis.png")
    assert named(pair_images(made, true, conventions=CONVENTIONS), made, true) == {
        f"{front}_2_{side}_vis.png": (TREE[1], TREE[0]),
        f"{back}_2_{woman}_vis.png": (TREE[2], TREE[3]),
    }


def test_the_tree_may_be_deeper_in_the_folder(made, true):
    touch(true, *(f"img_highres/{name}" for name in TREE))
    touch(made, f"{WORDS[0]}_2_{WORDS[1]}_vis.png")
    assert pair_images(made, true, conventions=CONVENTIONS).pairs[0].target == true / "img_highres" / TREE[1]


def test_a_flat_folder_of_another_spelling_is_found(made, true):
    touch(true, *(f"{word.replace('fashion', 'fasion')}.png" for word in WORDS))
    touch(made, f"{WORDS[0]}_2_{WORDS[1]}_vis.png")
    assert pair_images(made, true, conventions=CONVENTIONS).pairs[0].target.stem == WORDS[1].replace(
        "fashion", "fasion"
    )


def test_an_image_of_another_folder_does_not_replace_a_missing_one(made, true):
    touch(true, "MEN/Denim/id_00000080/01_1_front.jpg", "b/1_23.jpg", "b/2.jpg")
    touch(made, "fashionWOMENDenimid0000008001_1front.png", "c/2.png", "b/12_3.png", "b/2.png")
    pairing = pair_images(made, true, conventions=CONVENTIONS)
    assert named(pairing, made, true) == {"b/2.png": ("b/2.jpg", None)}
    assert len(pairing.unmatched) == 3


def test_the_full_path_takes_precedence_over_the_name(made, true):
    touch(true, "b.png", "x/b.png")
    touch(made, "x/a_2_b_vis.png")
    assert pair_images(made, true, conventions=CONVENTIONS).pairs[0].target == true / "x/b.png"


def test_a_name_shared_by_two_images_is_an_error(made, true):
    touch(true, "x/b.png", "y/b.png", "c.png")
    touch(made, "a_2_b_vis.png", "a_2_c_vis.png")
    with pytest.raises(DataError, match=r"a_2_b_vis\.png can be x/b\.png or y/b\.png"):
        pair_images(made, true, conventions=CONVENTIONS)


# Lists ----------------------------------------------------------------------------------------------------


def test_a_list_names_files(tmp_path, made, true):
    touch(made, "one.png", "two.png", "three.png", "four.png")
    touch(true, "x/a.png", "x/b.png")
    rows = ["target, generated ,source", "x/b.png,two.png,x/a.png", '"x/a.png",one,', "x\\b,three.png,", "", "b,four,a"]
    pairing = pair_images(made, true, listed(tmp_path, *rows), CONVENTIONS)
    assert pairing.convention == "list"
    assert list(named(pairing, made, true).items()) == [  # in the order of the list
        ("two.png", ("x/b.png", "x/a.png")),
        ("one.png", ("x/a.png", None)),
        ("three.png", ("x/b.png", None)),
        ("four.png", ("x/b.png", "x/a.png")),
    ]


def test_rows_and_images_without_partners_are_listed(tmp_path, made, true):
    touch(made, "one.png", "two.png", "three.png", "four.png")
    touch(true, "a.png")
    rows = ["one.png,a.png,", "nine.png,a.png,", "two.png,z.png,", "one.png,a.png,", "four.png,a.png,z.png"]
    path = listed(tmp_path, "generated,target,source", *rows)
    pairing = pair_images(made, true, path, CONVENTIONS)
    assert list(named(pairing, made, true)) == ["one.png"]
    for line, said in zip(pairing.unmatched, ["row 3", "row 4", "row 5", "row 6", "three.png"], strict=True):
        assert said in line
    assert "no generated image" in pairing.unmatched[0]
    assert "no target image" in pairing.unmatched[1]
    assert "repeats row 2" in pairing.unmatched[2]
    assert "no source image" in pairing.unmatched[3]


def test_bad_rows_are_reported_at_once_with_their_numbers(tmp_path, made, true):
    touch(made, "a.png")
    touch(true, "a.png")
    rows = ["generated,target", "a.png,a.png", "../a.png,a.png", "a.png,/etc/passwd", "a.png", "a.png,", "C:\\a,a.png"]
    with pytest.raises(DataError) as error:
        pair_images(made, true, listed(tmp_path, *rows), CONVENTIONS)
    assert [problem.split(":")[0] for problem in error.value.problems] == [f"row {k}" for k in (3, 4, 5, 6, 7)]


def test_contradicting_and_ambiguous_rows_are_errors(tmp_path, made, true):
    touch(made, "one.png", "two.png")
    touch(true, "a.png", "x/b.png", "y/b.png")
    rows = ["generated,target,source", "one.png,a.png,", "one.png,x/b.png,", "two.png,b.png,"]
    with pytest.raises(DataError) as error:
        pair_images(made, true, listed(tmp_path, *rows), CONVENTIONS)
    first, second = error.value.problems
    assert first.startswith("row 3: one.png has another target in row 2")
    assert second.startswith("row 4: b.png can be x/b.png or y/b.png")


@pytest.mark.parametrize(
    "header", ["", "generated", "generated,to", "from,to,source", "from,from,to", "a_2_b.png,b.png"]
)
def test_other_columns_are_refused(tmp_path, made, true, header):
    touch(made, "a.png")
    touch(true, "a.png")
    with pytest.raises(DataError, match="They must be generated,target"):
        pair_images(made, true, listed(tmp_path, header, "a,a,a"), CONVENTIONS)


def test_an_empty_or_binary_list_is_an_error(tmp_path, made, true):
    touch(made, "a.png")
    touch(true, "a.png")
    with pytest.raises(DataError, match="empty"):
        pair_images(made, true, listed(tmp_path, "from,to"), CONVENTIONS)
    (tmp_path / "pairs.csv").write_bytes(b"from,to\n\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        pair_images(made, true, tmp_path / "pairs.csv", CONVENTIONS)
    with pytest.raises(DataError, match="no such file"):
        pair_images(made, true, tmp_path / "nowhere.csv", CONVENTIONS)


@pytest.mark.parametrize("ending", ["_vis.jpg", ".png"])
def test_a_published_list_finds_results_by_their_convention(tmp_path, made, true, ending):
    touch(true, *TREE)
    touch(made, *(f"{WORDS[a]}_2_{WORDS[b]}{ending}" for a, b in [(0, 1), (2, 3), (3, 2)]))
    rows = [f"{WORDS[a]}.jpg,{WORDS[b]}.jpg" for a, b in [(2, 3), (0, 1), (1, 0)]]
    pairing = pair_images(made, true, listed(tmp_path, "from,to", *rows), CONVENTIONS)
    assert list(named(pairing, made, true).values()) == [(TREE[3], TREE[2]), (TREE[1], TREE[0])]
    assert len(pairing.unmatched) == 2
    assert pairing.unmatched[0].startswith("row 4 (from")
    assert "no generated image" in pairing.unmatched[0]
    assert pairing.unmatched[1].startswith(f"{WORDS[3]}_2_{WORDS[2]}")
    assert "no row of" in pairing.unmatched[1]


def test_a_published_list_may_write_paths(tmp_path, made, true):
    touch(true, *TREE)
    touch(made, f"{WORDS[0]}_2_{WORDS[1]}_vis.png")
    pairing = pair_images(made, true, listed(tmp_path, "from,to", f"{TREE[0]},{TREE[1]}"), CONVENTIONS)
    assert pairing.convention == "gfla"
    assert len(pairing.pairs) == 1
    assert not pairing.unmatched


def test_a_listed_pair_whose_target_is_missing_is_listed(tmp_path, made, true):
    touch(made, "a_2_b_vis.png", "a_2_c_vis.png")
    touch(true, "b.png")
    pairing = pair_images(made, true, listed(tmp_path, "from,to", "a.jpg,b.jpg", "a.jpg,c.jpg"), CONVENTIONS)
    assert [pair.name for pair in pairing.pairs] == ["a_2_b_vis"]
    assert pairing.unmatched == [f"row 3 (from a.jpg, to c.jpg): no target image in {true}"]


def test_a_result_named_without_source_cannot_belong_to_two_pairs(tmp_path, made, true):
    touch(made, "b.png", "c.png")
    touch(true, "a.png", "b.png", "c.png")
    rows = ["from,to", "a.png,b.png", "c.png,b.png", "a.png,c.png"]
    pairing = pair_images(made, true, listed(tmp_path, *rows), CONVENTIONS)
    assert named(pairing, made, true) == {"c.png": ("c.png", "a.png")}
    assert len(pairing.unmatched) == 3  # two rows, and b.png


def test_two_results_for_one_listed_pair_are_an_error(tmp_path, made, true):
    touch(made, "x/a_2_b_vis.png", "y/a_2_b_vis.png")
    touch(true, "a.png", "b.png")
    with pytest.raises(DataError, match=r"can be x/a_2_b_vis\.png or y/a_2_b_vis\.png"):
        pair_images(made, true, listed(tmp_path, "from,to", "a.png,b.png"), CONVENTIONS)


def test_no_pair_at_all_is_an_error(tmp_path, made, true):
    touch(made, "a.png")
    touch(true, "a.png")
    with pytest.raises(DataError, match="no image has a partner"):
        pair_images(made, true, listed(tmp_path, "generated,target", "b.png,b.png"), CONVENTIONS)
