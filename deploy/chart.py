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
    ({"joinSecret": {"existingSecret": ""}}, "joinSecret.existingSecret"),
    ({"nodesMutualTls": {"enabled": True}}, "authoritySecret"),
    ({"nodesMutualTls": {"enabled": True, "certManager": {"enabled": True}}}, "nodesMutualTls.certManager.issuerRef.name"),
    ({"controlPlane": {"defaultRegion": "eu", "geoDatabase": {"existingClaim": "geo"}}}, "location"),
    ({"controlPlane": {"defaultRegion": "eu", "trustedProxies": ["the ingress"]}}, "trustedProxies"),
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


def variables(resource: dict) -> dict[str, str | None]:
    containers = resource["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in containers[0]["env"]}


def variable(resource: dict, name: str) -> str:
    return variables(resource)[name]


def secrets(resource: dict) -> dict[str, tuple[str, list[str] | None]]:
    """The Secrets of a workload's pods by volume: which, and which of their keys if not all."""
    volumes = resource["spec"]["template"]["spec"]["volumes"]
    return {
        volume["name"]: (secret["secretName"], [item["key"] for item in secret["items"]] if "items" in secret else None)
        for volume in volumes
        if (secret := volume.get("secret"))
    }


def check_files(resource: dict) -> None:
    """Every setting that names a file names one below a folder that is mounted, and of a Secret one that is there."""
    pod = resource["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    keys = {name: keys for name, (_, keys) in secrets(resource).items()}
    claimed = [claim["metadata"] for claim in resource["spec"].get("volumeClaimTemplates", [])]
    assert set(mounts.values()) <= {volume["name"] for volume in [*pod["volumes"], *claimed]}, mounts
    for name, value in variables(resource).items():
        if value and value.startswith("/"):
            folder, _, file = value.rpartition("/")
            assert folder in mounts, f"{name}={value}"
            assert keys.get(mounts[folder]) is None or file in keys[mounts[folder]], f"{name}={value}"


def check_mutual_tls(small: list[dict], full: list[dict]) -> None:
    """With certificates nobody has a join secret, control planes no node's key, and nodes one for their names; without, as before."""
    control, voice = named(small, "Deployment", "guildhall-control-plane"), named(small, "StatefulSet", "guildhall-voice-eu")
    for workload in [control, voice]:
        assert secrets(workload)["join"] == ("join", None) and "GUILDHALL_JOIN_SECRET_FILE" in variables(workload)
        assert not {"GUILDHALL_NODES_CA", "GUILDHALL_CONTROL_PLANE_CERT"} & set(variables(workload))
    control = named(full, "StatefulSet", "demo-guildhall-control-plane")
    assert "join" not in secrets(control) and "GUILDHALL_JOIN_SECRET_FILE" not in variables(control)
    assert secrets(control)["nodes"] == ("demo-guildhall-voice-eu-west-join", ["ca.crt"]), secrets(control)
    assert variable(control, "GUILDHALL_NODES_CA") == "/run/secrets/nodes/ca.crt"
    for region in ["eu-west", "us-east"]:
        voice = named(full, "StatefulSet", f"demo-guildhall-voice-{region}")
        certificate = named(full, "Certificate", f"demo-guildhall-voice-{region}-join")["spec"]
        assert secrets(voice)["join"] == (certificate["secretName"], ["tls.crt", "tls.key"]), secrets(voice)
        assert "GUILDHALL_JOIN_SECRET_FILE" not in variables(voice)
        scaled = named(full, "ScaledObject", f"demo-guildhall-voice-{region}")["spec"]["maxReplicaCount"]
        names = [f"{voice['metadata']['name']}-{number}" for number in range(scaled)]
        assert certificate["dnsNames"] == names and "client auth" in certificate["usages"], certificate
    # Both for the upgrade from one to the other.
    values = {**SMALL, "nodesMutualTls": {"enabled": True, "authoritySecret": "authority"}}
    both = check("both", values)
    control = variables(named(both, "Deployment", "both-guildhall-control-plane"))
    voice = variables(named(both, "StatefulSet", "both-guildhall-voice-eu"))
    assert {"GUILDHALL_JOIN_SECRET_FILE", "GUILDHALL_NODES_CA"} <= set(control), control
    assert "GUILDHALL_CONTROL_PLANE_CERT" in voice and "GUILDHALL_JOIN_SECRET_FILE" not in voice, voice
    assert not [resource for resource in both if resource["kind"] == "Certificate"]


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

    for resources in [small, full]:
        workloads = [resource for resource in resources if resource["kind"] in ("Deployment", "StatefulSet")]
        assert len(workloads) > 1
        for workload in workloads:
            check_files(workload)
    check_mutual_tls(small, full)
    assert variable(control, "GUILDHALL_REGION_LOCATIONS") == "eu-west=53.3/-6.3,us-east=39.0/-77.5"
    assert variable(control, "GUILDHALL_TRUSTED_PROXIES") == "10.42.0.0/16,fd00:42::/48"
    assert "GUILDHALL_CONNECTIONS_PER_ADDRESS" not in variables(control)

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
