"""Of what `terraform validate` would say, what can be said without providers: every name is declared, and is used. And
what must hold of secrets in either cloud: who reads them, how long they last."""

import pathlib
import re
import sys

from told import told

# What the programs need, by the README: secrets by program.
READS = {
    "producer": {"database-url", "amqp-url", "data-key", "alert-webhook-url", "google-credentials"},
    "worker": {"database-url", "amqp-url", "data-key", "alert-webhook-url", "fhir-api-key"},
    "dashboard": {"database-url", "amqp-url", "data-key", "alert-webhook-url", "google-credentials", "dashboard-token"},
}


def without_comments(text):
    return re.sub(r"^\s*#.*$", "", text, flags=re.M)


def declared(text):
    for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', text, re.M):
        yield f"{kind}.{name}"
    for kind, name in re.findall(r'^data "(\w+)" "(\w+)"', text, re.M):
        yield f"data.{kind}.{name}"
    for name in re.findall(r'^variable "(\w+)"', text, re.M):
        yield f"var.{name}"
    for block in re.findall(r"^locals \{\n(.*?)^\}", text, re.M | re.S):
        for name in re.findall(r"^  (\w+) +=", block, re.M):
            yield f"local.{name}"


def used(text):
    yield from re.findall(r"(?<![\w.])data\.\w+\.\w+", text)
    yield from re.findall(r"(?<![\w.])(?:var|local)\.\w+", text)
    # A resource's attribute; a bare name in a string is none.
    yield from re.findall(r"(?<![\w.\"/])((?:google|aws|time)_\w+\.\w+)(?=[.\[)\]\s])", text)


def secrets(text):
    found = re.findall(r'^    "([\w-]+)" += \{ readers = \[([^\]]*)\], days = (\d+) \}', text, re.M)
    return {name: (set(re.findall(r'"(\w+)"', readers)), int(days)) for name, readers, days in found}


def check(folder):
    text = without_comments("\n".join(path.read_text() for path in sorted(folder.glob("*.tf"))))
    names, uses = list(declared(text)), set(used(text))
    for name in set(names):
        if names.count(name) > 1:
            yield f"{name} is declared twice"
    yield from (f"{name} is used, and not declared" for name in uses - set(names))
    inputs = {name for name in names if name.startswith(("var.", "local.", "data."))}
    yield from (f"{name} is declared, and not used" for name in inputs - uses)
    kept = secrets(text)
    for program, wanted in READS.items():
        read = {name for name, (readers, _) in kept.items() if program in readers}
        if read != wanted:
            yield f"{program} reads {sorted(read)}, and needs {sorted(wanted)}"
    yield from (f"{name} lasts {days} days" for name, (_, days) in kept.items() if not 0 < days <= 365)
    if "Asia/Jakarta" not in text or '"--due", "23:00"' not in text:
        yield "starts at another time than 23:00 in Jakarta"


def main(folders):
    holds = "names are declared and used, secrets have readers and an age"
    return int(not all([told(folder.name, sorted(check(folder)), holds) for folder in map(pathlib.Path, folders)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
