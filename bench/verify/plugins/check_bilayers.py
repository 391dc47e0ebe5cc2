"""Holds the BILAYERS description against its schema, and its command line against the program.

    python check_bilayers.py config.yaml

The schema (bilayers_schema, of 2026, in LinkML) is in no package registry: what it
requires and allows is written out below.
"""

import subprocess
import sys

import yaml

TEXT, TRUTH, WHOLE, ANY = str, bool, int, object
TYPES = "integer float boolean checkbox dropdown radio textbox image measurement array file executable".split()
SUBTYPES = "grayscale color binary label".split()
MODES = "beginner advanced".split()
COUNTS = "single multiple".split()

# Key: the kind of its value, and whether it must be there.
common = {"name": (TEXT, True), "type": (TYPES, True), "label": (ANY, True), "description": (TEXT, False), "optional": (TRUTH, True),
          "section_id": (TEXT, True), "mode": (MODES, True), "default": (ANY, True), "cli_tag": (TEXT, True), "cli_order": (WHOLE, False)}
image = {"subtype": ([SUBTYPES], True), "depth": (TRUTH, True), "timepoints": (TRUTH, True), "tiled": (TRUTH, True), "pyramidal": (TRUTH, True)}
files = common | {"format": ([TEXT], False), "unique_string": ([TEXT], True), "folder_name": (TEXT, False), "file_count": (COUNTS, False), "structure": ([ANY], False)}
parameter = common | {"output_dir_set": (TRUTH, False), "options": ([ANY], False), "append_value": (TRUTH, False), "multiselect": (TRUTH, False), "interactive": (TRUTH, False)}
whole = {
    "citations": ([{"name": (TEXT, True), "doi": (TEXT, False), "license": (TEXT, False), "description": (TEXT, False)}], True),
    "docker_image": ({k: (TEXT, True) for k in ("org", "name", "tag", "platform")}, True),
    "algorithm_folder_name": (TEXT, True),
    "exec_function": ({"name": (TEXT, True), "cli_command": (TEXT, True), "hidden_args": (
        [{"cli_tag": (TEXT, True), "value": (TEXT, True), "append_value": (TRUTH, False), "cli_order": (WHOLE, False)}], False)}, True),
    "inputs": ([files | image], True), "outputs": ([files | image], True), "parameters": ([parameter], True), "display_only": ([parameter], False),
}


def check(value, kind, at):
    if isinstance(kind, dict):
        assert isinstance(value, dict), f"{at} is no mapping"
        assert not set(value) - set(kind), f"{at} has {set(value) - set(kind)}"
        for key, (of, required) in kind.items():
            assert key in value or not required, f"{at} has no {key}"
            if key in value:
                check(value[key], of, f"{at}.{key}")
    elif isinstance(kind, list) and isinstance(kind[0], str):
        assert value in kind, f"{at} is {value!r}, not of {kind}"
    elif isinstance(kind, list):
        assert isinstance(value, list), f"{at} is no list"
        for i, v in enumerate(value):
            check(v, kind[0], f"{at}[{i}]")
    else:
        assert isinstance(value, kind) and (kind is not int or not isinstance(value, bool)), f"{at} is {value!r}"


config = yaml.safe_load(open(sys.argv[1]))
check(config, whole, "config")
for p in config["parameters"]:
    assert p["type"] != "checkbox" or "append_value" in p, f"{p['name']} has no append_value"
# Every option is one of the program's.
options = [e["cli_tag"] for e in config["outputs"] + config["parameters"] + config["exec_function"]["hidden_args"]]
text = subprocess.run(config["exec_function"]["cli_command"].split()[:2] + ["--help"], capture_output=True, text=True, check=True).stdout
for option in options:
    assert option + " " in text, option
print("as the schema has it; options", *options, "are known to unet predict")
