"""Every key of a configuration stands in tensair(1), under its section."""
import os
import re
import sys

ROOT = os.environ["SOURCE_DIR"]
ARRAY = re.compile(r"cyaml_schema_field_t (\w+)\[\] = \{(.*?)CYAML_FIELD_END", re.S)
QUOTED = re.compile(r'\b(?:TEXT|COUNT|NUMBER|CHOICE|ENUM|CYAML_FIELD_[A-Z_]+)\(\s*"(\w+)"')
BY_MEMBER = re.compile(r"\b(?:TEXT|UINT|BOOL|FLOAT)\(struct \w+, (\w+)\)")
INNER = {"slow": "run", "inject": "stream", "piece": "pace", "layer": "model", "plateau": "online", "answer": "online",
         "detector": "online"}
NOT_SECTIONS = {"config"}
IN_THE_HEADER = {"side", "code", "variant"}  # of single detectors: they stand in detector.h


def read(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def keys():
    """Section -> keys, as the schemas have them."""
    found = {}
    for path in (("run", "run_schema.c"), ("run", "online_config.c"), ("model", "spec.c")):
        for name, body in ARRAY.findall(read("framework", *path)):
            group = re.sub(r"^ta_|_fields$|_schema$", "", name)
            if group not in NOT_SECTIONS:
                found.setdefault(INNER.get(group, group), set()).update(QUOTED.findall(body) + BY_MEMBER.findall(body))
    return found


def sections():
    """Section -> its text in plain letters."""
    text = re.sub(r"\\f.|\\", "", read("framework", "cli", "tensair.1").split(".SH CONFIGURATION")[1].split("\n.SH ")[0])
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in text.split("\n.SS ")[1:]}


known, told = keys(), sections()
if set(known) != set(told):
    sys.exit(f"sections of the schemas and of the manual differ: {sorted(set(known) ^ set(told))}")
if sum(map(len, known.values())) < 100:
    sys.exit(f"only {sum(map(len, known.values()))} keys were found in the schemas: are they written in another way now?")
missing = [f"{section}.{key}" for section in sorted(known) for key in sorted(known[section] - IN_THE_HEADER)
           if not re.search(rf"(?<![\w]){key}(?![\w])", told[section])]
if missing:
    sys.exit(f"not in framework/cli/tensair.1: {', '.join(missing)}")
print(f"{sum(map(len, known.values()))} keys stand in the manual")
