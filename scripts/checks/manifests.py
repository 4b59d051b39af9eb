"""What must hold of rendered manifests: the schemas of Kubernetes and of the operators, and what our programs expect."""

import json
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml

from told import told

ROOT = pathlib.Path(__file__).parents[2]
# The oldest that has everything here, and the newest that the package knows.
VERSIONS = ["1.31", kubernetes_validate.latest_version()]
CORE = ("networking.k8s.io/",)
# docs/deploying.md: a stop takes 26 seconds at most.
STOP = 26


def is_core(manifest):
    group, _, version = manifest["apiVersion"].rpartition("/")
    return "." not in group or manifest["apiVersion"].startswith(CORE)


def name(manifest):
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def templates(manifests):
    """Each pod template, with its program's name."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec and is_core(manifest):
            yield manifest["metadata"]["name"], spec["template"]


def settings_of_readme():
    """The variables of the README's tables of settings."""
    rows = re.findall(r"^\| (`[A-Z][A-Z0-9_]+`(?:, `[A-Z0-9_]+`)*) \|", (ROOT / "README.md").read_text(), re.M)
    return {variable for row in rows for variable in re.findall(r"`([A-Z0-9_]+)`", row)}


def check_schemas(manifests):
    for manifest in filter(is_core, manifests):
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name(manifest)}: of Kubernetes {version}: {'/'.join(map(str, error.path))}: {error.message}"
    custom = [manifest for manifest in manifests if not is_core(manifest)]
    node = ["node", ROOT / "scripts/checks/custom-resources.mjs"]
    asked = subprocess.run(node, input=json.dumps(custom), text=True, capture_output=True)
    if asked.returncode:
        yield asked.stderr.strip()


def check_pod(program, template, known, kept, config):
    """One program's pod: restricted, with settings that the README has and secrets that it is given."""
    spec = template["spec"]
    (container,) = spec["containers"]
    pod, own = spec["securityContext"], container["securityContext"]
    if not (
        pod["runAsNonRoot"]
        and pod["seccompProfile"]["type"] == "RuntimeDefault"
        and own["allowPrivilegeEscalation"] is False
        and own["readOnlyRootFilesystem"]
        and own["capabilities"] == {"drop": ["ALL"]}
        and spec["automountServiceAccountToken"] is False
    ):
        yield "is not as restricted as it can be"
    if spec["serviceAccountName"] != program:
        yield "has no identity of its own"
    if spec["terminationGracePeriodSeconds"] <= STOP:
        yield f"is killed before it has stopped: that takes {STOP} s"
    if "memory" not in container["resources"]["limits"] or not {"cpu", "memory"} <= set(container["resources"]["requests"]):
        yield "asks for no resources"
    variables = {it["name"]: it["value"] for it in container["env"]}
    variables = config | variables
    yield from (f"{variable} is no setting of the README" for variable in set(variables) - known)
    (volume,) = spec["volumes"]
    if volume["secret"]["secretName"] != program:
        yield "is given another program's secrets"
    folder = container["volumeMounts"][0]["mountPath"]
    named = {value.removeprefix(f"file:{folder}/") for value in variables.values() if value.startswith("file:")}
    if named != kept[program]:
        yield f"reads {sorted(named)}, and its ExternalSecret has {sorted(kept[program])}"


def check_night(cron):
    spec = cron["spec"]
    job = spec["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    if (spec.get("schedule"), spec.get("timeZone"), spec.get("concurrencyPolicy")) != ("0 23 * * *", "Asia/Jakarta", "Forbid"):
        yield "does not start at 23:00 in Jakarta, one at a time"
    if container["args"][:2] != ["--due", "23:00"]:
        yield "does not take the night of its schedule"
    # Later than the grace before the next one, a start would be of the next night.
    if not 0 < spec["startingDeadlineSeconds"] < 24 * 3600 - 300:
        yield "may start in the next night's time"
    codes = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    if [(it["operator"], it["values"]) for it in codes] != [("In", [2, 3, 4])]:
        yield "ends by other exit statuses than 2, 3 and 4"
    if job["template"]["spec"]["restartPolicy"] != "Never":
        yield "has a pod failure policy that its restart policy does not allow"


def check_scaling(scaled, config):
    spec = scaled["spec"]
    agreed = int(scaled["metadata"].get("annotations", {}).get("nightly-sync/fhir-requests-per-second", 0))
    asked = spec["maxReplicaCount"] * float(config.get("FHIR_MAX_RPS", "inf"))
    if asked > agreed:
        yield f"{asked:g} requests a second may be asked of the FHIR server, and {agreed} were agreed"
    queue = next(it["metadata"]["queueName"] for it in spec["triggers"] if it["type"] == "rabbitmq")
    job = config.get("JOB_NAME", "nightly-whatsapp-sync")
    for what in ["work.v1", "retry-1000ms.v1", "retry-300000ms.v1", "dead.v1", "dry-run.work.v1", "dry-run.dead.v1"]:
        if not re.search(queue, f"{job}.{what}"):
            yield f"does not count {job}.{what}"


def check(manifests):
    yield from check_schemas(manifests)
    kept = {
        it["metadata"]["name"]: {data["secretKey"] for data in it["spec"]["data"]}
        for it in manifests
        if it["kind"] == "ExternalSecret"
    }
    (config,) = [it["data"] for it in manifests if it["kind"] == "ConfigMap"]
    pods = dict(templates(manifests))
    if set(pods) != {"producer", "worker", "dashboard"}:
        yield f"programs: {sorted(pods)}"
    for program, template in pods.items():
        for problem in check_pod(program, template, settings_of_readme(), kept, config):
            yield f"{program} {problem}"
        labels = template["metadata"]["labels"]
        if (labels.get("app.kubernetes.io/name"), labels.get("app.kubernetes.io/part-of")) != (program, "nightly-sync"):
            yield f"{program} is not what the network policies name"
    for manifest in manifests:
        if manifest["kind"] == "CronJob":
            yield from (f"{name(manifest)} {problem}" for problem in check_night(manifest))
        elif manifest["kind"] == "ScaledObject":
            yield from (f"{name(manifest)}: {problem}" for problem in check_scaling(manifest, config))
    workers = [it for it in manifests if name(it) == "Deployment worker"]
    if any("replicas" in it["spec"] for it in workers):
        yield "Deployment worker: replicas are KEDA's"


def main(files):
    held = []
    for file in map(pathlib.Path, files):
        manifests = [it for it in yaml.safe_load_all(file.read_text()) if it]
        holds = f"{len(manifests)} manifests hold, by the schemas of Kubernetes {' and '.join(VERSIONS)}"
        held.append(told(file.stem, check(manifests), holds))
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
