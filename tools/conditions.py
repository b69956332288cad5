"""Conditions of use: what happened before they were looked at, what happens now, and the test.

python tools/conditions.py                     # run the tests, and print the table
python tools/conditions.py --write             # also write it into docs/reliability.md
python tools/conditions.py --write --no-run    # write it without running the tests

Values before are those of the commands at revision 12647b3, tried as a user would, or at the revision that a row names:
the last one before the change, where 12647b3 had nothing of the kind.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
START, END = "<!-- python tools/conditions.py --write -->", "<!-- end -->"


class Condition(NamedTuple):
    """A condition, what happened before and what happens now, and the test: its file and name, without ``test_``."""

    name: str
    before: str
    now: str
    file: str
    test: str

    @property
    def id(self) -> str:
        """Name of the test for pytest."""
        return f"tests/test_{self.file}.py::test_{self.test}"


def _pose_file(name: str, before: str, now: str, test: str) -> Condition:
    return Condition(name, before, now, "pose_files", test)


def _photograph(name: str, before: str, now: str, test: str) -> Condition:
    return Condition(name, before, now, "photographs", test)


def _output(name: str, before: str, now: str, test: str) -> Condition:
    return Condition(name, before, now, "transfer", test)


def _video(name: str, before: str, now: str, test: str) -> Condition:
    return Condition(name, before, now, "animate_video", test)


READ, CLIP = "a_pose_file_is_read", "a_clip_in_one_file_is_read"
NO_READER = "no plugin reads key points from this file (at 6d4612f)"
CONDITIONS = (
    Condition("a photograph without key points", "two archives to fetch by hand", "key points of BlazePose, by default",
              "blazepose", "blazepose_is_the_default_for_people"),
    Condition("key points of photographs as files", "no command", "posegen keypoints: OpenPose JSON and a drawing",
              "blazepose", "the_command_writes_points_and_a_drawing_of_each_photograph"),
    Condition("posegen keypoints --out with the name of a file", "a traceback (at 3074842)", "refused before it runs",
              "blazepose", "an_output_that_cannot_be_written_is_refused"),
    Condition("several people in a photograph", "the one with the most points", "the largest first",
              "blazepose", "several_people_are_found_the_largest_first"),
    Condition("a face without landmarks", "no estimator", "68 landmarks of the face mesh",
              "blazepose", "landmarks_of_a_face_are_written_as_the_faces_plugin_reads_them"),
    Condition("a download of weights that was cut", "begins anew", "is gone on with",
              "weights", "a_download_that_was_cut_is_gone_on_with"),
    _photograph("EXIF orientation, all eight", "ignored: 40×60 stays 40×60", "upright",
                "a_photograph_is_upright_for_all_eight_orientations"),
    _photograph("EXIF orientation in a data set", "no word", "named by posegen check",
                "the_check_names_images_of_data_sets_that_are_seen_turned"),
    _photograph("COCO's width and height of the turned picture", "refused", "turned",
                "a_list_tells_by_its_size_whether_it_counts_stored_pixels_or_seen_ones"),
    _photograph("green under alpha 0", "the background is green", "white, or --background",
                "what_is_hidden_under_transparency_never_shows"),
    _photograph("16 bits, a PIL image", "36,000 of 65,535 is 255", "140",
                "deep_and_flat_pictures_keep_their_range_in_files_and_in_memory"),
    _photograph("ICC profile", "ignored", "converted to sRGB", "an_icc_profile_is_converted_to_srgb"),
    _photograph("animated WebP, GIF, PNG", "the first frame, without a word; GIF refused", "the first frame, told",
                "of_several_frames_the_first_is_used_and_told"),
    _photograph("TIFF and AVIF", "refused; passed over in folders", "read", "formats_that_pillow_reads_are_read"),
    _photograph("HEIC without a decoder", "not a picture", "named, with what to install",
                "heic_that_cannot_be_read_is_named_with_what_to_do"),
    _photograph("a video as an image", "a HEIC photograph (at 3074842)", "not an image",
                "a_video_called_a_photograph_is_no_heic"),
    _pose_file("ComfyUI's list of one frame", "refused: a list of 1", "18 points", READ),
    _pose_file("ComfyUI's list of several frames, transfer", "refused: a list of 2", "asks for --target-frame",
               "a_file_of_frames_asks_which_one_is_meant"),
    _pose_file("a frame of such a list, transfer", "refused", "the picture of that frame alone",
               "transfer_takes_a_frame_of_a_clip"),
    _pose_file("a clip as one file, animate", "refused", "one picture for each frame",
               "animate_takes_a_clip_in_one_file"),
    _pose_file("a clip of ComfyUI, AlphaPose, MMPose or the page", "refused", "every frame, in natural order", CLIP),
    _pose_file("second person null or []", "refused: 0 numbers, expected 54", "the first person", READ),
    _pose_file("results of AlphaPose and COCO", "refused: a list of 1", "18 points", READ),
    _pose_file("results of many pictures", "refused: a list of 3", "the rows of the picture's name",
               "a_picture_selects_its_rows_in_a_list_of_results"),
    _pose_file("COCO's results, which number pictures", "refused", "785 is 000000000785.jpg",
               "results_of_coco_number_their_pictures"),
    _pose_file("AlphaPose's people and bodies by image", "refused: an object with '1.png'", "18 points", READ),
    _pose_file("the old openpose-editor", "refused: 1 numbers, expected 51", "18 points", READ),
    _pose_file("a canvas of 256.0×256.0", "refused: give whole pixels", "as 256×256", READ),
    _pose_file("fractions with a canvas in pixels", "refused: must count pixels", "multiplied, told", READ),
    _pose_file("fractions, one point far outside", "a person of 1 pixel, without a word", "multiplied, told",
               "a_point_outside_does_not_hide_that_the_others_are_fractions"),
    _pose_file("fractions with a canvas of 1×1", "refused", "multiplied by the picture's size, told",
               "fractions_of_a_canvas_of_1_belong_to_the_picture_beside_them"),
    _pose_file("fractions without a picture", "refused", "multiplied by the source's size, told",
               "fractions_without_a_picture_are_those_of_the_source"),
    _pose_file("133 points of DWPose and RTMW", "refused: 399 numbers, expected 51", "18 points", READ),
    _pose_file("26 and 136 points of AlphaPose", "refused", "18 points", READ),
    _pose_file("MMPose's predictions, nested lists", "refused: a list of 1", "18 points", READ),
    _pose_file("bodies of DWPose", "refused", "18 points, multiplied, told",
               "bodies_of_dwpose_are_fractions_of_their_picture"),
    _pose_file("Ultralytics' JSON", NO_READER, "18 points", READ),
    _pose_file("YOLO's label files", NO_READER, "18 points, multiplied",
               "yolos_label_files_are_fractions_of_their_picture"),
    _pose_file("nobody in one frame of a file", "refused", "a frame without points",
               "a_frame_that_shows_nobody_has_no_points"),
    _pose_file("nobody in one frame of a motion", "the clip was refused", "held, told; --missing",
               "a_frame_without_anybody_does_not_stop_a_clip"),
    _pose_file("two people in a motion", "the clip jumped between them", "one is followed, told; --subject",
               "of_several_people_in_a_clip_the_same_one_is_followed"),
    _pose_file("scores of 0.06, OpenPose, COCO, AlphaPose", "drawn as present", "missing, told, --min-score",
               "points_with_a_low_score_are_missing_in_every_format"),
    _pose_file("a pose or a clip that the page wrote", "refused: an object with 'layout'", "18 points", READ),
    _pose_file("junk in a folder of poses", "the clip was refused", "passed over, told",
               "junk_in_a_folder_of_poses_is_passed_over_and_named"),
    _pose_file("OpenPose's *_rendered.png", "taken for targets", "passed over, told",
               "drawings_that_openpose_writes_beside_its_points_are_passed_over"),
    _pose_file("a file in no format", "its keys", "the closest format, and the first difference",
               "a_file_in_no_format_is_compared_with_the_closest"),
    Condition("a pose from a canvas of other proportions", "a person 0.38 as wide as high for 0.67",
              "cropped or padded", "framing", "a_pose_keeps_its_proportions_whatever_its_canvas"),
    Condition("a person anywhere in a large photograph", "the whole photograph at the model's size",
              "a crop around the person", "framing", "a_person_anywhere_in_a_large_photograph_fills_the_models_frame"),
    Condition("the result in a large photograph", "a picture of the model's size", "put back, with a soft edge",
              "framing", "a_result_is_put_back_with_a_soft_edge_and_leaves_the_rest_as_it_was"),
    Condition("a target of another size", "drawn as it is", "fitted beyond a quarter, told; --retarget",
              "framing", "by_default_sizes_that_differ_by_more_than_a_quarter_are_fitted_and_told"),
    _photograph("several people in a photograph", "the one with the most points, told",
                "the largest, told; --source-figure chooses",
                "one_of_several_figures_is_the_largest_or_chosen_by_number_or_place"),
    Condition("a gray photograph", "colors, up to 32 of 255 apart", "gray", "inference",
              "a_gray_photograph_stays_gray"),
    _output("--force with the source's own name", "the source was overwritten", "refused",
            "a_picture_that_is_read_is_not_overwritten_even_with_force"),
    _output("an output that cannot be written", "a traceback after the model ran", "refused before it runs",
            "an_output_that_cannot_be_written_is_refused_before_the_model_runs"),
    _output("--out=~/results.v2", "refused: a picture must end in .png", "a folder of that name at home",
            "a_folder_with_a_dot_in_its_name_is_a_folder_and_home_is_expanded"),
    _output("a folder that was interrupted", "refused, or made anew with --force", "gone on with: --skip-existing",
            "a_folder_that_was_interrupted_is_gone_on_with"),
    _output("IMG.MOV, .AAE or .DNG beside IMG.JPG", NO_READER, "passed over",
            "what_cameras_write_beside_a_photograph_are_no_key_points"),
    _pose_file("a coordinate of NaN", "refused: nan is no number (at 44acf48)", "missing, as null",
               "a_point_of_nan_or_null_is_missing"),
    _pose_file("a file that no plugin reads", "only a JSON object's names (at 44acf48)", "what it holds",
               "a_file_that_no_plugin_reads_is_described"),
    _output("a caption, a.txt, beside a.png", "refused: no plugin reads it (at 44acf48)", "passed over, told",
            "a_caption_or_a_note_beside_a_photograph_is_passed_over_and_told"),
    _output("a.jpg.json beside a.jpg among targets", "a second target (at 44acf48)", "that picture's key points",
            "key_points_may_be_called_after_the_whole_name_of_their_picture"),
    _output("a folder of poses that are fitted", "a line for each (at 20ea80d)", "told once, with their number",
            "poses_of_a_folder_that_are_fitted_are_told_once"),
    _output("poses without the picture that the structure looks at", "without a word (at 7493a90)", "told",
            "poses_without_the_picture_that_the_structure_looks_at_are_told"),
    Condition("an arm of a large figure", "a second person (at 6d4612f)", "left out", "blazepose",
              "a_limb_that_is_taken_for_a_person_is_left_out"),
    _output("a video as TARGET", NO_READER, "refused, naming posegen animate --video",
            "a_video_as_a_target_is_named_with_the_command_that_takes_it"),
    _output("the transparency of the source", "lost", "--keep-alpha",
            "a_cut_out_is_moved_on_a_background_and_may_keep_its_alpha"),
    _output("another background for an opaque photograph", "no option takes one",
            "the figure is cut out of it and of the result",
            "the_figure_of_an_opaque_photograph_is_cut_out_for_a_background"),
    _output("the same without masks", "no option takes one", "refused, naming estimators that give them",
            "a_background_of_an_opaque_photograph_requires_masks"),
    Condition("a photograph's own background, filled", "unrecognized arguments: --background fill",
              "no ghost of the old pose: --background fill", "inference",
              "the_place_of_a_figure_is_filled_from_its_surroundings"),
    _output("the size of a result", "the model's, 64×64 of 256×256, told",
            "the source's, put back into it; --no-resize-back",
            "results_have_the_sources_size_and_explain_writes_a_sheet_beside"),
    Condition("metadata of a result in a photograph", "trainedAlgorithmicMedia",
              "compositeWithTrainedAlgorithmicMedia", "generated",
              "a_result_in_which_pixels_of_a_photograph_stay_is_a_composite"),
    Condition("a drawn clip of key points", "no command writes one", "no mark of a generated clip", "blazepose",
              "a_video_gives_a_file_for_each_frame_and_a_drawn_clip"),
    _video("a driving video", "no option takes one", "frames, key points, clip and sound", "a_video_moves_a_picture"),
    _video("29.97 frames a second, sound", "no option takes a video", "exactly 30000/1001; copied",
           "a_written_clip_keeps_an_exact_rate_and_copies_sound"),
    _video("a phone's rotation", "no option takes a video", "applied", "a_phones_rotation_is_applied"),
    _video("a varying frame rate", "no option takes a video", "the duration is kept",
           "a_varying_rate_keeps_the_duration"),
    _video("several people in a video", "no option takes a video", "the nearest to the frame before is followed",
           "the_figure_nearest_to_the_frame_before_is_followed"),
    _video("a speck where a figure of a video was", "no option takes a video", "the figure is waited for",
           "a_lost_figure_is_not_replaced_by_a_speck"),
    _video("a face that moves 1.4 of its sizes between two frames", "lost for a second (at c6adfaa)", "followed",
           "in_a_slow_video_a_figure_goes_farther_from_frame_to_frame"),
    Condition("a face with the motion of another", "unrecognized arguments: --retarget motion",
              "keeps its proportions: --retarget motion", "framing",
              "a_motion_changes_the_sources_own_pose_and_keeps_its_proportions"),
    _video("a reference without key points, --structures", "refused: give them with --reference-structure",
           "estimated", "key_points_of_the_reference_are_estimated_where_those_of_the_frames_are_given"),
    Condition("prepare dance with a video alone", "refused: there are no frames", "refused, naming the estimators",
              "prepare", "videos_of_dancers_without_points_are_refused_naming_the_estimators"),
    _video("somebody who walks out of the frame", "a foot is the pose that is held (at 44acf48)",
           "the last pose of half of the figure", "somebody_who_walks_out_of_the_frame_leaves_no_foot_to_hold"),
    Condition("a motion that goes far", "coarse results without a word (at 44acf48)", "told", "framing",
              "a_motion_that_makes_the_figure_small_is_told_once"),
    _video("a picture as --video", "taken (at 3074842)", "refused", "a_picture_is_no_video"),
    _video("a clip that was interrupted", "begins anew", "is gone on with",
           "a_clip_that_was_interrupted_is_gone_on_with"),
    Condition("two trainings in one work dir", "both wrote into it", "the second is refused, naming the first",
              "interrupted", "a_second_training_in_a_work_dir_is_refused_naming_the_first"),
    Condition("a killed training's work dir", "taken without a word", "taken over, told",
              "interrupted", "the_lock_of_a_killed_training_is_taken_over_and_told"),
    Condition("--resume with other settings", "without a word", "each with both values",
              "interrupted", "settings_that_changed_before_a_resume_are_told_with_both_values"),
    Condition("a closed pipe", "a traceback", "nothing, exit status 141",
              "interrupted", "a_closed_pipe_ends_a_command_without_a_word"),
    Condition("a closed pipe during training", "a traceback for every line of the log", "the log file goes on",
              "interrupted", "a_log_that_nobody_reads_goes_on_in_its_file"),
    Condition("Ctrl-C while arguments are read", "a traceback", "one line, exit status 130",
              "interrupted", "ctrl_c_is_one_line_also_while_arguments_are_read"),
    Condition("a console without “…” (PYTHONIOENCODING=ascii)", "UnicodeEncodeError, and no report is written",
              "a question mark for each character that it lacks", "interrupted",
              "the_encoding_of_the_console_ends_no_command"),
    Condition("evaluate into a closed pipe", "no report is written", "the report is written first", "evaluate",
              "the_report_is_written_before_a_table_that_nobody_can_print"),
    Condition("true images without a result", "a number in results.json", "named on the console", "evaluate",
              "unused_files_are_reported"),
    Condition("sources of 1_to_2 that are in no folder", "without a word", "named on the console", "pairing",
              "sources_that_are_in_no_folder_are_told_once_each"),
    Condition("LPIPS of images of 16×16", "a RuntimeError ended the evaluation", "not computed; the others go on",
              "image_metrics", "lpips_of_smaller_images_than_its_network_takes_is_not_computed"),
    Condition("Market-1501 with a JSON file of each image", "refused: there is no market-annotation-train.csv",
              "read; without files, from an estimator", "prepare",
              "key_points_of_market_are_read_from_a_file_of_each_image"),
    Condition("a list of another layout", "refused: 14 numbers, 18 expected", "converted: listed=\"lsp14\"",
              "layouts", "a_list_of_a_named_layout_is_converted_and_what_it_lacks_is_missing"),
    Condition("training from a shared model, load_from", "refused: there is no checkpoint paperdolls", "its weights",
              "engine", "training_starts_from_weights"),
    Condition("OpenCV on a machine without libGL", "ImportError at the first command", "opencv-python-headless alone",
              "house", "one_opencv_without_a_display_is_installed"),
)  # fmt: skip


def table(conditions: Sequence[Condition]) -> str:
    """Return the conditions as a table in Markdown."""
    rows = [
        f"| {one.name} | {one.before} | {one.now} | `test_{one.file}.py`: {one.test.replace('_', ' ')} |"
        for one in conditions
    ]
    return "\n".join(["| condition | before | now | test |", "| --- | --- | --- | --- |", *rows])


def write(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests, print the table, and return pytest's exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument("--no-run", action="store_true", help="do not run the tests")
    parsed = parser.parse_args(arguments)
    print(table(CONDITIONS))
    if parsed.write:
        write(PAGE, table(CONDITIONS))
    if parsed.no_run:
        return 0
    tests = dict.fromkeys(one.id for one in CONDITIONS)
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
