"""What keeps the project safe: each guard, how it is taken out, and the test that misses it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """The text that makes it, in which file, what takes its place, and the test (file::name) that must then fail."""

    file: str
    text: str
    without: str
    test: str
    slow: bool = False


GUARDS = {
    "web addresses are not asked": Guard(
        "storage/addresses.py", 'if "::" in uri or scheme.lower() not in STORES:', "if False:",
        "test_addresses.py::test_a_manifest_cannot_make_this_machine_ask_a_host"),
    "no secret in an address": Guard(
        "storage/addresses.py", "if (at and", "if False and (at and",
        "test_addresses.py::test_an_address_with_a_secret_in_it_is_refused_and_not_repeated"),
    "rows keep no secret of a manifest": Guard(
        "tasks/manifest.py", "return masked(value)", "return value",
        "test_addresses.py::test_a_manifest_keeps_no_secret_of_its_rows"),
    "keys of a store stay in the mirror": Guard(
        "storage/layout.py", "if not is_inside(place, folder):", "if False:",
        "test_addresses.py::test_a_store_cannot_write_beside_the_mirror"),
    "links in the mirror": Guard(
        "storage/layout.py", "place.resolve().is_relative_to(folder.resolve())", "'..' not in place.parts",
        "test_addresses.py::test_a_link_in_the_mirror_leads_nowhere"),
    "names are no paths": Guard(
        "storage/names.py", "    if not name or not spelled", "    if False and not spelled",
        "test_names.py::test_no_name_leads_out_of_the_root"),
    "names that are looked up": Guard(
        "storage/version_refs.py", '    name, _, wanted = spec.partition("@")\n    check_name(name)\n',
        '    name, _, wanted = spec.partition("@")\n', "test_names.py::test_a_dataset_elsewhere_is_not_looked_at"),
    "versions are no paths": Guard(
        "storage/version_refs.py", "if wrong is not None:", "if False:",
        "test_names.py::test_a_root_of_somebody_else_cannot_name_a_version_elsewhere"),
    "rows of the registry": Guard(
        "storage/registry.py", "if not is_inside(folder, self._folder):", "if False:",
        "test_names.py::test_a_row_of_the_registry_cannot_lead_out_of_it"),
    "weights and settings alone": Guard(
        "storage/model_files.py", "    if refused:\n", "    if False:\n",
        "test_models_as_data.py::test_the_registry_takes_in_weights_and_settings_alone"),
    "regular files alone": Guard(
        "storage/ids.py", "if not stat.S_ISREG(os.stat(file).st_mode) and not file.is_dir():", "if False:",
        "test_manifests.py::test_an_input_that_never_ends_costs_itself_alone"),
    "outputs stay in the renders": Guard(
        "tasks/jobs.py", "if not out.is_relative_to(root.renders.resolve()):", "if False:",
        "test_manifests.py::test_no_output_of_a_manifest_lies_outside_the_renders"),
    "links among the renders": Guard(
        "tasks/jobs.py", "out = (root.renders / out).resolve()",
        "out = Path(os.path.normpath(root.renders / out))", "test_manifests.py::test_no_link_leads_an_output_out"),
    "names that a file can have": Guard(
        "tasks/jobs.py", 'if "\\0" in job.output or any(', "if False and any(",
        "test_manifests.py::test_no_output_of_a_manifest_lies_outside_the_renders"),
    "text within bounds": Guard(
        "storage/texts.py", "if len(data) > most:", "if False:", "test_manifests.py::test_text_is_read_within_bounds"),
    "no devices for text": Guard(
        "storage/texts.py", "if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):", "if False:",
        "test_manifests.py::test_text_is_read_within_bounds"),
    "brackets in brackets": Guard(
        "tasks/manifest.py", "except (ValueError, RecursionError) as error:", "except ValueError as error:",
        "test_manifests.py::test_a_hostile_table_is_refused_in_a_sentence"),
    "paths are text": Guard(
        "tasks/manifest.py", "if value is not None and not isinstance(value, str):", "if False:",
        "test_manifests.py::test_a_hostile_table_is_refused_in_a_sentence"),
    "cells of Parquet": Guard(
        "storage/small_tables.py", "> LONGEST_CELL:", "> 1 << 60:",
        "test_manifests.py::test_a_small_parquet_cannot_mean_a_large_one"),
    "texts of Parquet": Guard(
        "storage/small_tables.py", "if letters > MOST_BYTES:", "if False:",
        "test_manifests.py::test_a_small_parquet_cannot_mean_a_large_one"),
    "times of turns": Guard(
        "tasks/speakers.py", "if not (math.isfinite(start_s + length_s) and length_s >= 0):", "if False:",
        "test_manifests.py::test_turns_have_times"),
    "brackets in cues": Guard(
        "tasks/moods.py", "<[^<>]*>", "<[^>]*>", "test_manifests.py::test_brackets_in_a_cue_take_no_time"),
    "pipelines bring no code": Guard(
        "models/pipeline.py", "    check_folder(folder)\n", "",
        "test_models_as_data.py::test_a_pipeline_cannot_bring_code"),
    "no code by auto_map": Guard(
        "models/data_only.py", 'if said.get("auto_map"):', "if False:",
        "test_models_as_data.py::test_a_pipeline_cannot_bring_code"),
    "no pickles for a sync expert": Guard(
        "models/sync.py", "use_safetensors=True, ", "",
        "test_models_as_data.py::test_pickled_weights_are_not_read[sync]"),
    "no pickles for a text encoder": Guard(
        "models/text.py", "use_safetensors=True", "use_safetensors=None",
        "test_models_as_data.py::test_pickled_weights_are_not_read[text]"),
    "ONNX reads itself alone": Guard(
        "models/faces.py", "            _check_file(file, self.path)\n", "            pass\n",
        "test_models_as_data.py::test_an_onnx_file_reads_no_other_file"),
    "known packs are the published ones": Guard(
        "models/faces.py", "        _check_published(self.pack, self.path, root)\n", "",
        "test_models_as_data.py::test_a_pack_that_is_known_by_name_is_the_published_one"),
    "whisper's files are data": Guard(
        "models/whisper_files.py", '    read_weights(path, "a whisper checkpoint")', "    ",
        "test_models_as_data.py::test_whispers_files_are_data_and_never_fetched"),
    "whisper's files are the published ones": Guard(
        "models/whisper_files.py", "!= published:", "== 0:",
        "test_models_as_data.py::test_whispers_files_are_data_and_never_fetched"),
    "torch files are data": Guard(
        "models/checkpoints.py", "weights_only=True", "weights_only=False",
        "test_models_as_data.py::test_whispers_files_are_data_and_never_fetched"),
    "caches hold no objects": Guard(
        "tasks/dubbing/saved.py", "allow_pickle=False", "allow_pickle=True",
        "test_models_as_data.py::test_caches_hold_no_objects"),
    "formats of media": Guard(
        "storage/media_open.py", '"format_whitelist": ",".join(_DEMUXERS), "protocol_whitelist": "file", ', "",
        "test_media_stays_here.py::test_a_list_of_other_files_is_no_film"),
    "names of media are files": Guard(
        "storage/media_open.py", 'f"file:{name}"', "name",
        "test_media_stays_here.py::test_a_name_is_a_file_and_no_address"),
    "manifests elsewhere": Guard(
        "storage/signing.py", '"remote_manifest_fetch": False', '"remote_manifest_fetch": True',
        "test_media_stays_here.py::test_a_manifest_elsewhere_is_not_fetched"),
    "pages escape": Guard(
        "tasks/report.py", "autoescape=True", "autoescape=False", "test_pages.py::test_a_report_is_text"),
    "links are quoted": Guard(
        "tasks/report.py", "quote(Path(os.path.relpath(output, place)).as_posix())",
        "Path(os.path.relpath(output, place)).as_posix()", "test_pages.py::test_a_report_is_text"),
    "pages load nothing": Guard(
        "tasks/report.py", "default-src 'none'; ", "", "test_pages.py::test_the_page_of_the_catalog_is_text"),
    "charts escape": Guard(
        "tasks/report_charts.py", "<title>{escape(name)}", "<title>{name}", "test_pages.py::test_a_chart_is_text"),
    "terminals are not commanded": Guard(
        "flows/console.py", "text.translate(_COMMANDS)", "text",
        "test_masking.py::test_a_file_name_cannot_command_the_terminal"),
    "prints hold no secret": Guard(
        "flows/console.py", "_tell(masked(printable(text))", "_tell((printable(text))",
        "test_masking.py::test_nothing_that_is_printed_holds_a_secret"),
    "errors hold no secret": Guard(
        "storage/errors.py", 'columns["reason"] = masked(columns["reason"])', "pass",
        "test_masking.py::test_errors_and_rows_do_not_repeat_a_secret"),
    "settings hold no secret": Guard(
        "flows/options.py", "if masked(setting) != setting:", "if False:",
        "test_masking.py::test_options_carry_no_secret_into_the_parameters_of_a_run"),
    "sources hold no secret": Guard(
        "flows/cli_running.py", "        check_address(place)\n", "        pass\n",
        "test_masking.py::test_options_carry_no_secret_into_the_parameters_of_a_run"),
    "secrets of the environment": Guard(
        "storage/masking.py", "    for value in _of_environment():", "    for value in ():",
        "test_masking.py::test_the_environments_secrets_are_known_by_name"),
    "Ray is heard here alone": Guard(
        "tasks/cluster.py", 'reachable_as(named), ', "",
        "test_listening.py::test_a_ray_of_our_own", slow=True),
    "Prefect is heard here alone": Guard(
        "flows/server.py", '"--host", "127.0.0.1"', '"--host", "0.0.0.0"',
        "test_listening.py::test_the_server_of_a_run", slow=True),
    "Prefect answers its own pages": Guard(
        "flows/server.py", '"CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}", ', "",
        "test_listening.py::test_the_server_of_a_run", slow=True),
    "Prefect takes no forged requests": Guard(
        "flows/server.py", '"CSRF_PROTECTION_ENABLED": "true"', '"CSRF_PROTECTION_ENABLED": "false"',
        "test_listening.py::test_the_server_of_a_run", slow=True),
    "Prefect's state is private": Guard(
        "flows/environment.py", "home.chmod(0o700)", "pass", "test_listening.py::test_the_server_of_a_run", slow=True),
    "Prefect sends no telemetry": Guard(
        "flows/environment.py", '    "DO_NOT_TRACK": "1",\n    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",\n', "",
        "test_a_real_run.py::test_a_run_asks_nobody_beyond_this_machine", slow=True),
    "configurations hold no secret": Guard(
        "flows/run.py", "masked(self.config.model_dump_json(indent=2))", "self.config.model_dump_json(indent=2)",
        "test_masking.py::test_the_settings_of_a_run_hold_no_secret"),
    "runs hold no secret": Guard(
        "flows/run.py", "config=masked(self.config.model_dump_json())", "config=self.config.model_dump_json()",
        "test_masking.py::test_the_row_of_a_run_holds_no_secret"),
}  # fmt: skip
