"""Lints and renders the chart with Helm's own code, and checks the resources against Kubernetes' schemas: `make deploy-check`."""

import pathlib
import sys

import helm_python as helm
import kubernetes_validate
import yaml

CHART = pathlib.Path(__file__).parent / "helm" / "guildhall"

# The least that the chart starts with; helm/guildhall/ci-values.yaml is everything that can be on.
SMALL = {
    "publicHost": "chat.example.org",
    "joinSecret": {"existingSecret": "join"},
    "controlPlane": {"defaultRegion": "eu"},
    "voice": {"domain": "voice.example.org", "tls": {"existingSecret": "voice"}, "regions": [{"name": "eu"}]},
}

# What must be refused, and a word of the reason.
REFUSED = [
    ({}, "publicHost"),
    ({"controlPlane": {"defaultRegion": "eu", "replicas": 2}}, "configSecret"),
    ({"controlPlane": {"defaultRegion": "eu", "replicas": 2, "configSecret": "config"}}, "files"),
    ({"controlPlane": {"defaultRegion": "eu", "replicas": 9}}, "replicas"),
]

# Resources of other projects (KEDA, cert-manager, the Prometheus operator), whose schemas are not Kubernetes'.
FOREIGN = ("keda.sh/", "cert-manager.io/", "monitoring.coreos.com/")


def check(name: str, values: dict) -> list[dict]:
    report = helm.lint(CHART, values, strict=True)
    # 1 is information: the chart has no icon.
    if report["errors"] or any(message["severity"] > 1 for message in report["messages"]):
        sys.exit(f"{name}: {report}")
    rendered = helm.Chart.load(CHART).render(values, name=name, namespace="chat")
    texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    resources = [resource for text in texts for resource in yaml.safe_load_all(text) if resource]
    own = [resource for resource in resources if not resource["apiVersion"].startswith(FOREIGN)]
    for resource in own:
        kubernetes_validate.validate(resource, "1.30", strict=True)
    print(f"{name}: {len(resources)} resources, {len(own)} of them as Kubernetes 1.30 wants them")
    return resources


def named(resources: list[dict], kind: str, name: str) -> dict:
    return next(resource for resource in resources if (resource["kind"], resource["metadata"]["name"]) == (kind, name))


def variable(resource: dict, name: str) -> str:
    containers = resource["spec"]["template"]["spec"]["containers"]
    return next(variable["value"] for variable in containers[0]["env"] if variable["name"] == name)


def main() -> None:
    print(f"Helm {helm.helm_sdk_version()}")
    small = check("guildhall", SMALL)
    full = check("demo", yaml.safe_load((CHART / "ci-values.yaml").read_text()))

    # One control plane has one Service to be dialled; every voice node dials each of several, by a Service that leads to it alone.
    dialled = variable(named(small, "StatefulSet", "guildhall-voice-eu"), "GUILDHALL_CONTROL_PLANE")
    assert dialled == "https://guildhall-nodes.chat.svc:7443", dialled
    assert named(small, "Deployment", "guildhall-control-plane")["spec"]["replicas"] == 1
    control = named(full, "StatefulSet", "demo-guildhall-control-plane")
    services = [f"demo-guildhall-nodes-{number}" for number in range(control["spec"]["replicas"])]
    for number, service in enumerate(services):
        pod = named(full, "Service", service)["spec"]["selector"]["statefulset.kubernetes.io/pod-name"]
        assert pod == f"demo-guildhall-control-plane-{number}", pod
    certified = named(full, "Certificate", "demo-guildhall-nodes")["spec"]["dnsNames"]
    assert certified[:-1] == [f"{service}.chat.svc" for service in services], certified
    for region in ["eu-west", "us-east"]:
        dialled = variable(named(full, "StatefulSet", f"demo-guildhall-voice-{region}"), "GUILDHALL_CONTROL_PLANE")
        assert dialled.split(",") == [f"https://{service}.chat.svc:7443" for service in services], dialled

    for values, word in REFUSED:
        # A refusal for another reason than the one that is meant would hide behind the values that are always needed.
        values = {**SMALL, **values} if values else {}
        try:
            helm.Chart.load(CHART).render(values, name="guildhall")
        except helm.HelmError as error:
            assert word in str(error), error
        else:
            sys.exit(f"the chart must not be rendered with {values}")


main()
