"""Reads the BILAYERS description: the keys that its schema asks for, and a command line that unet takes.

    python check_bilayers.py config.yaml

BILAYERS' own schema is in no registry here: what it requires is written out below.
"""

import subprocess
import sys

import yaml

config = yaml.safe_load(open(sys.argv[1]))
required = {"citations", "docker_image", "algorithm_folder_name", "exec_function", "inputs", "outputs", "parameters", "display_only"}
assert required == set(config), set(config) ^ required
assert {"org", "name", "tag", "platform"} == set(config["docker_image"])
assert {"name", "script", "module", "cli_command", "hidden_args"} == set(config["exec_function"])
io = {"name", "type", "label", "subtype", "description", "cli_tag", "cli_order", "default", "optional", "format", "folder_name", "file_count", "section_id", "mode"}
for entry in config["inputs"] + config["outputs"]:
    assert set(entry) == io, set(entry) ^ io
parameter = {"name", "type", "label", "description", "default", "cli_tag", "cli_order", "optional", "section_id", "mode", "append_value"}
for entry in config["parameters"]:
    assert set(entry) == parameter, set(entry) ^ parameter
    assert entry["type"] in ("textbox", "checkbox", "integer", "float", "radio", "dropdown")
# Every option is one of the program's.
options = [e["cli_tag"] for e in config["outputs"] + config["parameters"] + config["exec_function"]["hidden_args"]]
text = subprocess.run(config["exec_function"]["cli_command"].split()[:2] + ["--help"], capture_output=True, text=True, check=True).stdout
for option in options:
    assert option + " " in text, option
print("keys as the schema has them; options", *options, "are known to unet predict")
