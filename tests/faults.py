"""Every fault that a run, a store or a reader must survive, and the tests that hold it.

`docs/make.py reliability` runs them and writes the table of docs/reliability.md. A test says how often it injects its
fault by `record_property("injected", n)`; each of its cases counts once otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`what` goes wrong, and what `becomes` of it; `tests` are names of tests or, with brackets, of their cases."""

    what: str
    becomes: str
    tests: tuple[str, ...]


def fault(what: str, becomes: str, *tests: str) -> Fault:
    return Fault(what, becomes, tests)


FAULTS = [
    fault(
        "Ctrl-C, once and twice",
        "nothing starts, trainings keep a checkpoint, the command that resumes is said, exit code 130; twice: at once",
        "run/test_session.py::test_an_interrupted_run_resumes_to_the_uninterrupted_result[2-130]",
        "run/test_session.py::test_a_run_that_is_stopped_in_mid_training_goes_on_from_there",
        "cli/test_display.py::test_the_first_signal_asks_and_the_second_ends",
    ),
    fault(
        "SIGTERM, as schedulers send it before the limit",
        "a checkpoint, exit code 75; the resumed record is equal to the bit",
        "run/test_session.py::test_an_interrupted_run_resumes_to_the_uninterrupted_result[15-75]",
        "training/test_checkpoint.py::test_a_training_that_ends_in_any_step_goes_on_to_the_numbers_of_one_that_does_not",
        "training/test_checkpoint.py::test_one_that_is_ended_in_every_step_gets_there_too",
    ),
    fault(
        "the terminal of a run is closed",
        "a checkpoint, exit code 75, as with SIGTERM; a run in the background (`&`, nohup) goes on",
        "cli/test_display.py::test_a_closed_terminal_stops_a_run_unless_it_was_told_to_go_on",
        "cli/test_terminal.py::test_a_command_goes_on_when_its_terminal_is_closed",
    ),
    fault(
        "kill -9 of a worker",
        "its cell runs again, others are untouched",
        "run/test_processes.py::test_a_worker_killed_in_mid_task_is_run_again",
        "run/test_session.py::test_a_worker_killed_in_mid_cell_costs_nothing",
        "test_stress.py::test_records_of_a_study_in_a_storm_of_kills_are_those_of_a_calm_one",
    ),
    fault(
        "kill -9 of the runner",
        "its processes are gone within seconds; the next run does the rest",
        "run/test_worker.py::test_a_killed_runner_leaves_no_orphan",
        "run/test_guard.py::test_a_runner_that_is_killed_takes_everything_along",
        "run/test_server.py::test_a_runner_killed_while_the_server_loads_takes_its_helpers_along",
    ),
    fault(
        "kill -9 while a file is written",
        "the whole record or none",
        "store/test_files.py::test_a_writer_killed_before_any_of_its_file_calls_leaves_the_whole_record_or_none",
        "store/test_files.py::test_every_acknowledged_record_survives_a_kill_at_any_moment",
    ),
    fault(
        "power cut: what was not synced is gone",
        "nothing is torn, nothing acknowledged is lost",
        "store/test_files.py::test_a_power_cut_tears_nothing_and_loses_nothing_acknowledged",
    ),
    fault(
        "a record cut off or changed at any byte",
        "named, moved to quarantine/, computed again, never averaged",
        "store/test_store.py::test_a_record_broken_at_any_byte_is_quarantined_and_counts_as_absent",
        "store/test_store.py::test_a_record_under_the_key_of_another_is_quarantined",
        "store/test_store.py::test_a_broken_mask_is_never_returned_and_can_be_put_again",
    ),
    fault(
        "a checkpoint cut off or changed",
        "the one before it counts, or the training begins anew",
        "training/test_checkpoint.py::test_of_two_the_one_before_counts_where_the_newest_is_broken",
        "training/test_checkpoint.py::test_where_both_are_broken_it_begins_anew",
        "training/test_checkpoint.py::test_what_another_version_has_left_is_of_no_use_and_in_nobodys_way",
    ),
    fault(
        "the disk is full, or fails, at any file call",
        "said with the bytes that are needed; records stay whole; the next run goes on",
        "store/test_files.py::test_a_disk_that_fails_at_any_file_call_breaks_no_record_and_is_resumed",
        "store/test_files.py::test_a_full_disk_is_refused_with_the_bytes_needed",
        "training/test_checkpoint.py::test_a_disk_without_room_stops_no_training",
    ),
    fault(
        "a folder that cannot be read or written",
        "one line before anything is computed, exit code 4",
        "cli/test_running.py::test_a_folder_that_cannot_be_read_is_one_line_at_the_start",
        "cli/test_running.py::test_a_folder_that_is_a_file_is_one_line_at_the_start",
        "cli/test_results.py::test_what_is_to_be_written_where_a_file_is_in_the_way_is_one_line",
        "cli/test_results.py::test_what_cannot_be_read_is_one_line",
        "store/test_files.py::test_a_read_only_folder_is_refused_before_anything_else",
        "store/test_files.py::test_a_folder_that_cannot_be_written_is_refused_by_name",
    ),
    fault(
        "two runs on one results folder",
        "of one study: they share the work, and nothing is computed twice; of another: refused",
        "run/test_claims.py::test_two_runs_of_a_study_compute_it_once",
        "run/test_claims.py::test_two_engines_run_each_task_once_and_both_tell_of_all",
        "run/test_claims.py::test_of_many_that_take_over_one_wins",
        "store/test_store.py::test_of_two_processes_that_commit_one_key_exactly_one_wins",
        "store/test_store.py::test_two_retries_of_one_failed_record_replace_it_once",
        "store/test_store.py::test_another_study_is_refused_with_both_names",
        "store/test_store.py::test_a_strangers_study_of_the_same_name_is_refused_with_what_they_share_and_the_way_out",
    ),
    fault(
        "one of several runs is killed, or its machine is gone, or clocks differ by hours",
        "the others take over what it was at; nothing is lost",
        "run/test_claims.py::test_what_a_killed_runner_was_at_the_other_finishes",
        "run/test_claims.py::test_a_run_finishes_the_study_of_one_that_is_killed",
        "run/test_claims.py::test_another_machines_runner_is_dead_when_its_lease_stands_still_whatever_its_clock_says",
        "run/test_claims.py::test_a_runner_that_was_taken_for_dead_and_wakes_up_does_no_harm",
    ),
    fault(
        "on any engine: a worker killed, a stop, the runner killed (Ray and Slurm: docs/cluster.md)",
        "all records, no process left, nothing that was done again",
        "run/engines/test_contract.py::test_no_engine_loses_a_cell_or_leaves_a_process_or_repeats_what_is_done[inline]",
        "run/engines/test_contract.py::"
        "test_no_engine_loses_a_cell_or_leaves_a_process_or_repeats_what_is_done[processes]",
    ),
    fault(
        "nobody reads what a run prints, or standard output is closed",
        "it ends by SIGPIPE or goes on, without a traceback",
        "cli/test_running.py::test_where_nobody_reads_on_a_run_ends_without_a_word_of_its_workers",
        "cli/test_terminal.py::test_every_command_ends_quietly_where_nobody_reads",
        "cli/test_terminal.py::test_a_stdout_that_takes_nothing_is_an_exit_code_and_at_most_a_line",
    ),
    fault(
        "a cell that always crashes",
        "`failed (crash)` after three attempts, with the signal",
        "run/test_processes.py::test_a_task_that_always_segfaults_is_a_crash_after_three_attempts_and_the_others_finish",
        "run/test_processes.py::test_leaving_with_exit_code_0_without_being_done_is_a_crash",
    ),
    fault(
        "memory of the GPU or the machine runs out",
        "tried again alone once, then `failed (oom)` with peak and limit",
        "run/test_processes.py::test_a_task_out_of_memory_is_tried_again_alone_and_so_are_those_like_it",
        "run/test_processes.py::test_a_kill_by_the_out_of_memory_killer_is_told_from_a_crash",
        "training/test_faults.py::test_what_ran_out_of_memory_beside_others_is_tried_again_and_alone_it_has_failed",
    ),
    fault(
        "a loss that is not finite",
        "`failed (diverged)` with the epoch and the last finite loss",
        "training/test_loop.py::test_a_loss_that_is_not_finite_ends_training_with_its_epoch",
    ),
    fault(
        "layer collapse",
        "`ok`, flagged; the accuracy is reported as it is",
        "training/test_train.py::test_a_network_without_a_path_is_flagged_dead_in_every_seed_and_by_every_ablation",
    ),
    fault(
        "a plugin that raises, exits or kills its process when it scores",
        "its cells are `failed` with file, line and cause; others run",
        "run/test_discovery.py::test_a_cell_whose_scoring_fails_says_where_and_why",
        "run/test_discovery.py::test_the_records_of_others_are_those_of_a_run_without_them",
    ),
    fault(
        "a plugin that hangs, deaf to SIGTERM",
        "SIGTERM, ten seconds, SIGKILL of all that it started; `failed (timeout)`",
        "run/test_processes.py::test_a_task_over_time_is_ended_with_all_it_started",
        "run/test_session.py::test_a_plugin_that_hangs_is_ended_after_the_time_that_the_suite_gives",
        "run/test_guard.py::test_what_left_group_session_and_files_ends_with_its_task_however_that_ends",
    ),
    fault(
        "scores of wrong names, shapes, types, or no numbers",
        "`failed (plugin-error)` that names the layer",
        "scoring/test_criterion.py::test_a_plugin_that_breaks_its_contract_is_named_with_the_layer",
    ),
    fault(
        "a plugin whose import changes torch, pabench or the process",
        "named; its cells fail, others are as without it",
        "run/test_discovery.py::test_what_an_import_changes_is_named_and_its_cells_fail",
        "test_effects.py::test_a_replaced_attribute_is_named",
    ),
    fault(
        "a plugin that cannot be imported, never ends, or has the name of another",
        "told with its place; the others go on; two of one name are refused",
        "run/test_discovery.py::test_a_file_that_cannot_be_imported_is_told_and_its_cells_are_left_out",
        "run/test_discovery.py::test_an_import_that_loops_is_ended_and_told",
        "run/test_discovery.py::test_two_files_of_one_name_are_refused_with_both_places",
        "test_registry.py::test_a_broken_installed_plugin_leaves_the_others_alone",
    ),
    fault(
        "a suite that is wrong, damaged or hostile",
        "exit code 2, all that is wrong at once with file, line and column",
        "suite/test_yaml.py::test_refuses_a_bad_text_with_its_place",
        "suite/test_yaml.py::test_only_a_suite_error_escapes_for_random_text",
        "suite/test_suite.py::test_only_a_suite_error_escapes_for_a_damaged_suite",
        "suite/test_entries.py::test_refuses_a_bad_file_with_its_place",
    ),
    fault(
        "a suite of 10^9 cells",
        "counted, not made; asks for --yes",
        "suite/test_grid.py::test_a_billion_cells_are_counted_within_a_second_and_begun_within_200_mb",
        "run/test_session.py::test_a_huge_grid_asks_first",
        "leaderboard/verification/test_grid.py::test_a_suite_of_a_thousand_million_cells_is_counted_and_not_made",
    ),
    fault(
        "data that is missing",
        "said before anything runs, with path, command and size; other data goes on; exit code 5",
        "run/test_session.py::test_a_missing_dataset_is_said_before_anything_runs_and_the_others_go_on",
        "data/test_dataset.py::test_absent_data_are_reported_in_one_line_with_path_and_remedy",
    ),
    fault(
        "damaged data, downloads or caches",
        "found by SHA-256, named or built again",
        "data/test_cache.py::test_damaged_arrays_are_built_again",
        "data/test_cache.py::test_a_file_that_was_touched_since_is_read_again_whatever_its_size_and_time",
        "data/test_vision.py::test_a_download_with_another_checksum_leaves_nothing",
        "data/test_vision.py::test_a_corrupt_file_is_data_to_delete",
        "data/test_dataset.py::test_a_broken_file_of_a_stream_is_named_in_one_line_whoever_reads_it",
    ),
    fault(
        "two processes that build one cache",
        "one wins, no half file is seen",
        "data/test_cache.py::test_two_builders_at_once_leave_one_whole_result",
    ),
    fault(
        "a suite edited in mid-study",
        "changed cells are new, the others stay, the old manifest is kept",
        "store/test_store.py::test_a_changed_suite_replaces_the_manifest_and_keeps_the_old_one_and_the_records",
    ),
    fault(
        "HTML and scripts in names, errors and manifests",
        "text; a policy with hashes of scripts is the second wall",
        "report/test_page.py::test_no_name_becomes_an_element_or_a_handler",
        "report/test_page.py::test_the_policy_allows_this_script_and_this_style_alone",
        "report/test_section.py::test_json_in_the_page_cannot_close_its_script",
        "leaderboard/test_site.py::test_hostile_names_are_escaped_and_are_no_formula",
        "browser/test_page.py::test_names_that_would_run_are_text_everywhere",
        "browser/test_page.py::test_an_injected_script_does_not_run",
    ),
    fault(
        "formulas, LaTeX and terminal escapes in names and output",
        "prefixed, escaped, stripped",
        "reports/test_latex.py::test_a_name_cannot_end_its_line_or_its_table",
        "leaderboard/test_sitefiles.py::test_neither_a_cell_nor_a_header_of_a_table_is_a_formula",
        "cli/test_terminal.py::test_a_message_cannot_steer_the_terminal_nor_fill_it",
        "run/test_output.py::test_nothing_that_a_task_prints_reaches_the_runners_terminal",
        "leaderboard/verification/test_folder.py::"
        "test_terminal_escapes_in_what_a_stranger_wrote_do_not_reach_the_terminal",
    ),
    fault(
        "JSON with NaN, two keys of one name, 200,000 levels, numbers of 5,000 digits",
        "refused",
        "store/test_envelope.py::test_what_is_not_strict_json_is_refused",
        "leaderboard/verification/test_folder.py::test_json_that_is_not_strict_is_named_and_nothing_crashes",
    ),
    fault(
        "links, pipes, devices, huge and foreign files in a submission",
        "not followed, not opened, not read",
        "store/test_files.py::test_only_regular_files_are_read",
        "leaderboard/verification/test_folder.py::test_a_link_out_of_the_folder_is_not_followed",
        "leaderboard/verification/test_folder.py::test_a_folder_that_is_a_link_is_not_entered",
        "leaderboard/verification/test_folder.py::test_a_pipe_does_not_block",
        "leaderboard/verification/test_folder.py::test_a_file_that_does_not_belong_there_is_not_opened",
        "leaderboard/verification/test_folder.py::test_a_huge_file_is_not_read",
    ),
    fault(
        "a submission that lies about a number, a mask bit, a flag, a cell",
        "falls at the level that can know it",
        "leaderboard/verification/test_wellformed.py::test_level_one_names_the_field",
        "leaderboard/verification/test_consistent.py::test_level_two_counts_in_the_mask",
        "leaderboard/verification/test_consistent.py::test_level_two_compares_the_record_with_its_mask_and_its_receipt",
        "leaderboard/verification/test_grid.py::test_what_is_dropped_everywhere_is_still_in_the_suite",
        "leaderboard/verification/test_rederived.py::test_two_mask_bits_swapped_throughout_fall_at_the_third_level",
        "leaderboard/verification/test_verify.py::"
        "test_a_number_forged_throughout_passes_two_levels_and_falls_at_the_fourth",
    ),
    fault(
        "a forged submission (docs/leaderboard.md has the kinds)",
        "falls at its level, with its sentence and exit code 4",
        "leaderboard/verification/test_forgeries.py::test_a_forgery_falls_where_its_form_or_its_parts_tell",
        "leaderboard/verification/test_forgeries.py::test_a_forgery_falls_where_it_is_computed_again",
    ),
    fault(
        "a small file of a submission that would make large work",
        "told within seconds and little memory",
        "leaderboard/verification/test_hostile.py::test_a_hostile_submission_is_told_within_seconds_and_little_memory",
    ),
    fault(
        "a plugin in `score`, `doctor`, `criteria`, or a section of others, that ends its process, hangs or prints",
        "one line that names it and an exit code; the page goes on without the section",
        "run/test_apart.py::test_whatever_a_plugin_does_ends_in_one_line_that_names_it",
        "run/test_apart.py::test_every_command_that_takes_plugins_ends_so",
        "run/test_apart.py::test_an_import_that_hangs_is_ended_and_told",
        "report/test_apart.py::test_whatever_its_process_does_the_page_has_a_line_of_it_and_the_other_sections",
    ),
    fault(
        "code of a stranger in a submission",
        "runs only where it is trusted by name, and never in the process that judges",
        "leaderboard/verification/test_verify.py::test_levels_one_and_two_import_neither_torch_nor_a_plugin",
        "leaderboard/verification/test_rerun.py::test_code_of_a_submitter_runs_only_where_it_is_trusted_by_name",
        "leaderboard/verification/test_rerun.py::test_code_that_rewrites_the_judge_judges_nothing",
        "leaderboard/test_publish.py::test_publishing_runs_no_code_of_a_submission",
        "report/test_page.py::test_rendering_imports_no_torch",
    ),
]
